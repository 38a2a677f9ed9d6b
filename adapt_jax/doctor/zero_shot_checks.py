"""Is a finished zero-shot run what it seems? Its files, embeddings, counts and scores.

Images and CLIP are not read.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from adapt_jax import zero_shot_detectors
from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import ID, id_side, ood_side
from adapt_jax.doctor import run_checks, set_checks
from adapt_jax.doctor.findings import FAIL, Finding
from adapt_jax.inference import zero_shot_files
from adapt_jax.results import result_files
from adapt_jax.results.scores import load_scores, path_of
from adapt_jax.results.scoring import stream_key

AGAIN = "run zero_shot again with this --workdir"


def diagnose(path: pathlib.Path, report_progress: Callable[[str], None]) -> list[Finding]:
    """The findings of all checks of a zero-shot run.

    Args:
      path: folder of the run.
      report_progress: function called with a line about the current check.

    Raises:
      InputError: its record or its results cannot be read.
    """
    record, results = zero_shot_files.read(path), result_files.read(path)
    said = run_checks.same_checkpoint(record["checkpoint_sha256"], results["checkpoint_sha256"])
    groups = record["groups"]
    counted: dict[str, dict[str, int | None]] = {name: {} for name in (ID, *groups)}
    report_progress("text bank")
    said += _text(path, record, results)
    summaries = {}
    for name, file in record["embeddings"].items():
        report_progress(f"embeddings of {name}")
        try:
            rows = zero_shot_files.arrays(path, record, file)["embeddings"]
        except InputError as e:
            said.append(Finding(FAIL, f"embeddings of {name}", str(e), AGAIN))
            continue
        summaries[name] = set_checks.summarize_features(rows)
        said += set_checks.features(name, ID if name == ID else "ood", summaries[name])
        if name in counted and results["config"]["stream"]["mix"] == "all":
            counted[name]["embeddings"] = len(rows)
    said += _scores(path, results, groups, counted, report_progress)
    return said + run_checks.counts({name: by for name, by in counted.items() if by})


def _text(path: pathlib.Path, record: Mapping, results: Mapping) -> list[Finding]:
    """The bank: whole, unit rows, and as large as the results say."""
    try:
        bank = zero_shot_files.load_text(path, record).bank
    except InputError as e:
        return [Finding(FAIL, "text bank", str(e), AGAIN)]
    sizes = {"labels": len(bank.labels), "negatives": len(bank.negatives)}
    wrong = {name: n for name, n in sizes.items() if results[name] != n}
    lengths = np.concatenate([np.linalg.norm(rows, axis=1) for rows in bank])
    off = int(np.sum(~(np.abs(lengths - 1) < 1e-2)))
    return run_checks.findings_of(
        "text bank",
        f"{sizes['labels']:,} labels and {sizes['negatives']:,} negatives, unit rows",
        (off, FAIL, f"{off:,} of {len(lengths):,} rows are not unit rows", AGAIN),
        (wrong, FAIL, f"the results are of another number of {', '.join(wrong)}", AGAIN),
    )


def _scores(path, results, groups, counted, report_progress) -> list[Finding]:
    """results.json and the scores on disk, detector by detector."""
    rows, unfit = results["rows"], results["unfit"]
    specs = [s.text for s in zero_shot_detectors.parse(results["config"]["detectors"])]
    specs = [text for text in specs if text not in unfit]
    said = run_checks.rows(rows, specs, ood_side(groups), results["failed"])
    for detector in dict.fromkeys(r["detector"] for r in rows):
        report_progress(f"scores of {detector}")
        recorded = {r["ood"]: r for r in rows if r["detector"] == detector and r["ood"] in groups}
        try:
            said += _scores_of(path, detector, groups, recorded, counted)
        except InputError as e:
            said.append(Finding(FAIL, f"scores of {detector}", str(e), AGAIN))
    return said


def _scores_of(
    path, detector: str, groups, recorded: Mapping[str, Mapping[str, Any]], counted
) -> list[Finding]:
    """One detector's scores; those of ID images are others in the stream of every OOD set."""

    def load(key: str, name: str) -> np.ndarray:
        scores = load_scores(path_of(path, detector, key)).scores
        counted[name][f"scores of {detector}"] = len(scores)
        return scores

    said: list[Finding] = []
    whole = {name: load(name, name) for name in recorded}
    for name, row in recorded.items():
        counted[name][f"n_ood of {detector}"] = row["n_ood"]
    if not any(row["adaptive"] for row in recorded.values()):
        own = np.concatenate([load(name, name) for name in id_side(groups)])
        return run_checks.scores(detector, own, whole, recorded)
    for name, row in recorded.items():
        own = np.concatenate([load(stream_key(one, name), one) for one in id_side(groups)])
        what = f"{detector} in the stream of {name}"
        said += run_checks.scores(what, own, {name: whole[name]}, {name: row})
    return said
