"""Writes an evaluation to the run's folder and shows it on the console, for every command."""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

from adapt_jax.core import replacing
from adapt_jax.results import result_files, tables
from adapt_jax.results.evaluation import Evaluation
from adapt_jax.results.scored import Scored, lacking
from adapt_jax.results.scores import path_of, save_scores
from adapt_jax.runtime import buckets, processes, provenance
from adapt_jax.workdir import logbook

SHOWN = ("fpr95", "fpr95_idpos_nearest", "auroc", "aupr_in")  # on the console; files have all
_WRITTEN = ("scores", "results.json", "results.csv", "report.html")
_MOST_ROWS = 60  # on the console; above that, the means of groups


def write(workdir: pathlib.Path, evaluation: Evaluation, console) -> dict[str, Any]:
    """Writes scores/, results.json, results.csv and report.html, and shows the table.

    Every process calls it; process 0 writes, and what an earlier evaluation wrote is replaced.

    Args:
      workdir: folder of the run.
      evaluation: the evaluation to write.
      console: the console that shows the table.

    Returns:
      What results.json holds.

    Raises:
      InputError: a detector that was asked for by name has no rows; those of the others are
        written.
    """
    header = _header(evaluation)
    main = processes.is_main()
    place = replacing.entries(workdir, _WRITTEN) if main else contextlib.nullcontext(workdir)
    with place as folder:
        if main:
            _write_scores(folder, evaluation)
        content = result_files.write(folder, header, evaluation.scored.rows)
        if main and evaluation.config["report"]:
            from adapt_jax.report import page  # slow to import

            page.write(folder, evaluation, header, logbook.read(workdir))
    if main:
        show(header, evaluation.scored, workdir, evaluation.title, console)
    processes.wait("results")
    lacking(evaluation.scored)
    return content


def _header(evaluation: Evaluation) -> dict[str, Any]:
    """The head of results.json."""
    facts, config, scored = evaluation.facts, evaluation.config, evaluation.scored
    required = {k: facts[k] for k in ("id", "method", "model", "checkpoint_sha256")}
    protocol = config["ood"] + (" (full-spectrum)" if config["full_spectrum"] else "")
    header = result_files.header(protocol=protocol, seed=config["seed"], **required) | dict(facts)
    return header | {
        "full_spectrum": config["full_spectrum"],
        "searched": scored.searched,
        "adapted": scored.adapted,
        "unfit": scored.unfit,
        "failed": scored.failed,
        "seconds": {d: {k: round(v, 3) for k, v in s.items()} for d, s in scored.seconds.items()},
        "peak_memory_bytes": provenance.host_peak_bytes(),
        "config": config,
    }


def _write_scores(workdir: pathlib.Path, evaluation: Evaluation) -> None:
    for detector, by_set in evaluation.scored.scores.items():
        for name, values in by_set.items():
            image_set = evaluation.sets[evaluation.images_of.get(name, name)]
            save_scores(path_of(workdir, detector, name), values, image_set.names, image_set.labels)


def show(header: Mapping[str, Any], scored: Scored, workdir, title: str, console) -> None:
    """The table and where the files are, on the console."""
    rows, keys = scored.rows, tables.KEYS
    if len(rows) > _MOST_ROWS:
        rows = [r for r in rows if r["ood"] == tables.MEAN]
        keys = {k: heading for k, heading in keys.items() if k != "ood"}
        title = f"{title}; means of groups, every set is in results.csv"
    console.print(tables.table(rows, SHOWN, title=title, keys=keys))
    lists = header.get("lists_sha256", "")[:12]
    notes = [f"protocol: {header['protocol']}" + (f"; image lists {lists}" if lists else "")]
    for detector, search_result in scored.searched.items():
        values = ", ".join(f"{k}={v}" for k, v in search_result["chosen"].items())
        notes.append(f"searched on {header['val']} and {header['ood_val']}: {detector}: {values}")
    for detector, adapted in scored.adapted.items():
        values = ", ".join(f"{k}={v}" for k, v in adapted.items())
        notes.append(f"{detector}: {values}; its defaults need more features or images")
    reasons: dict[str, list[str]] = {}
    for detector, reason in scored.unfit.items():
        what = reason.removeprefix(f"{detector.partition('?')[0]}.fit: ")
        reasons.setdefault(what, []).append(detector)
    for reason, left in reasons.items():
        notes.append(f"left out: {', '.join(left)}: {reason}")
    accuracies = {k: v for k, v in header.items() if k.endswith("accuracy")}
    if accuracies:
        named = (f"{k.replace('_', ' ')} {100 * v:.2f} %" for k, v in accuracies.items())
        notes.append(f"on {header['id']}: {', '.join(named)}")
    if "step" in header:  # it was trained
        notes.append(tables.ONE_RUN)
    place = buckets.home(workdir)
    notes.append(f"results: {place / 'results.json'}, {place / 'results.csv'}")
    if header["config"].get("report"):
        notes.append(f"report:  {place / 'report.html'}")
    for note in notes:
        console.print(note, highlight=False, markup=False)
