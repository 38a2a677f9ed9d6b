"""Result rows: building, averaging over sets and seeds, files. One row = one detector on one set.

`results.json` is the header (what was evaluated, with what) plus `"rows"`; `results.csv` the same
rows with the header's scalars in front, so that files of many runs can be stacked.
`python -m adapt_jax.results merge RUN...` makes tables over runs, see `merge`.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapt_jax import config_diff, metrics
from adapt_jax.core.errors import InputError
from adapt_jax.provenance import commit, versions
from adapt_jax.score_files import Scores, load_scores, save_scores, write_atomically
from adapt_jax.tables import MEAN, Row, markdown, table

__all__ = [
    "MEAN", "METRICS", "Row", "Scores", "aggregate", "check_scores", "commit", "header",
    "load_scores", "markdown", "mean_rows", "read", "row", "save_scores", "table", "versions",
    "write", "write_atomically",
]  # fmt: skip

METRICS = tuple(name for name, _ in metrics.COLUMNS if not name.startswith("n_"))
# Config fields that may differ between runs of one table.
NO_RESULT = frozenset(
    (
        "seed",
        "log_every",
        "checkpoint_every",
        "profile",
        "report",
        "tracking",
        "from_features",
        "input_workers",
        "prefetch",
    )
)
_FACTS = ("protocol", "id", "seed", "method", "model", "checkpoint_sha256")


def check_scores(scores, detector: str, set_name: str) -> np.ndarray:
    """The scores (N,), refused when they cannot rank anything.

    Raises:
      InputError: no score, NaN or infinity, or one value for several images; names both sides.
    """
    scores = np.asarray(scores)
    where = f"detector {detector!r} on set {set_name!r}"
    if scores.ndim != 1 or scores.size == 0:
        raise InputError(f"{where}: expected scores of shape (N,), N >= 1, got {scores.shape}.")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise InputError(f"{where}: {bad} of {scores.size} scores are NaN or infinite.")
    if scores.size > 1 and (scores == scores[0]).all():
        raise InputError(
            f"{where}: all {scores.size} scores are {scores[0]:g}; "
            "a constant ranks nothing, so no metric is reported."
        )
    return scores


def row(detector: str, ood: str, group: str, id_scores, ood_scores, **extra) -> Row:
    """One result row: `detector, ood, group`, then every column of `metrics.COLUMNS`.

    Args:
      detector: its name.
      ood: name of the OOD set.
      group: "near", "far", ...
      id_scores: (N,) of the ID test set.
      ood_scores: (M,) of the OOD set.
      **extra: what else describes the row (stream order, batch size), before the metrics.

    Raises:
      InputError: degenerate scores, or a set called "mean".
    """
    if ood == MEAN:
        raise InputError('an OOD set cannot be called "mean": that name marks the mean rows.')
    id_scores = check_scores(id_scores, detector, "id")
    ood_scores = check_scores(ood_scores, detector, ood)
    what = {"detector": detector, "ood": ood, "group": group, **extra}
    return what | metrics.ood_metrics(id_scores, ood_scores)


def mean_rows(rows: Iterable[Row]) -> list[Row]:
    """One row per detector and group, `"ood": "mean"`: the unweighted mean over its sets.

    Every set counts the same, whatever its size (OpenOOD); n_ood is the sum. Extra fields are kept
    where all sets agree. Mean rows among `rows` are ignored.

    Raises:
      InputError: the sets of a group were compared with different numbers of ID images.
    """
    means = []
    for (detector, group), members in _grouped(rows, "detector", "group").items():
        if len({m["n_id"] for m in members}) > 1:
            counts = ", ".join(f"{m['ood']}: {m['n_id']}" for m in members)
            raise InputError(
                f"detector {detector!r}, group {group!r}: its sets have different n_id ({counts}); "
                "a mean needs the same ID test set."
            )
        mean = {"detector": detector, "ood": MEAN, "group": group}
        mean |= {k: v for k, v in _common(members).items() if k != "ood"}
        mean |= {k: float(np.mean([m[k] for m in members])) for k in METRICS}
        mean |= {"n_id": members[0]["n_id"], "n_ood": sum(m["n_ood"] for m in members)}
        means.append(mean)
    return means


def _common(rows: Sequence[Row]) -> Row:
    """The fields on which all rows agree, in the order of the first."""
    return {k: v for k, v in rows[0].items() if all(r.get(k) == v for r in rows)}


def _grouped(rows: Iterable[Row], *keys: str) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for r in rows:
        if r["ood"] != MEAN:
            groups.setdefault(tuple(r[k] for k in keys), []).append(r)
    return groups


def header(
    *, protocol: str, id: str, seed: int, method: str, model: str, checkpoint_sha256: str
) -> dict[str, Any]:
    """What was evaluated, and with which software: the head of `results.json`."""
    return {
        "protocol": protocol,
        "id": id,
        "seed": seed,
        "method": method,
        "model": model,
        "checkpoint_sha256": checkpoint_sha256,
        "versions": versions(),
        "commit": commit(),
    }


def write(workdir: str | os.PathLike, header: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Writes `results.json` and `results.csv`, each whole or not at all.

    Raises:
      InputError: the header lacks a field, or a value cannot be written (NaN included).
    """
    missing = [k for k in (*_FACTS, "versions", "commit") if k not in header]
    if missing:
        raise InputError(f"the result header lacks {', '.join(missing)}.")
    try:
        text = json.dumps({**header, "rows": list(rows)}, indent=1, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise InputError(f"results cannot be written as JSON: {e}.") from e
    facts = {k: header[k] for k in (*_FACTS, "commit")}
    columns = list(dict.fromkeys([*facts, *(k for r in rows for k in r)]))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, columns, restval="")
    writer.writeheader()
    writer.writerows({**facts, **r} for r in rows)
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    write_atomically(workdir / "results.json", (text + "\n").encode())
    write_atomically(workdir / "results.csv", table.getvalue().encode())


def read(workdir: str | os.PathLike) -> dict[str, Any]:
    """The content of `results.json`: the header's fields and `"rows"`.

    Raises:
      InputError: there is none, or it is not one of ours.
    """
    path = Path(workdir) / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; evaluate the run first.") from None
    except ValueError as e:
        raise InputError(f"{path} is not JSON ({e}); evaluate the run again.") from e
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise InputError(f"{path} has no rows; it was not written by this program.")
    return content


def aggregate(results: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Mean and population standard deviation over runs that differ in their seed only.

    Args:
      results: contents of `results.json`, see `read`.

    Returns:
      Rows with each metric, its `<metric>_std`, and `runs`.

    Raises:
      InputError: the runs differ in protocol, ID set, method or model, in what they evaluated, or
        one of them is given twice.
    """
    if not results:
        raise InputError("no results to aggregate.")
    for key in ("protocol", "id", "method", "model"):
        values = list(dict.fromkeys(str(r[key]) for r in results))
        if len(values) > 1:
            raise InputError(f"runs differ in {key} ({' and '.join(values)}); do not mix them.")
    for run in results[1:]:
        changed = config_diff.differences(results[0].get("config", {}), run.get("config", {}))
        for key in changed.keys() - NO_RESULT:
            was, now = changed[key]
            raise InputError(f"runs differ in {key} ({was} and {now}); do not mix them.")
    runs = [(r["seed"], r["checkpoint_sha256"]) for r in results]
    for run in runs:
        if runs.count(run) > 1:
            raise InputError(
                f"the run with seed {run[0]} is given {runs.count(run)} times; "
                "repeating it makes the deviation look smaller than it is."
            )
    keyed = [{_identity(row): row for row in r["rows"]} for r in results]
    for other, run in zip(keyed, runs):
        if difference := set(keyed[0]) ^ set(other):
            detector, ood, group, n_id, n_ood = min(difference, key=str)
            raise InputError(
                f"the runs with seeds {runs[0][0]} and {run[0]} were evaluated differently: only "
                f"one has detector {detector!r}, set {ood!r} ({group}, {n_id} ID, {n_ood} OOD)."
            )
    rows = []
    for identity in keyed[0]:
        same = [k[identity] for k in keyed]
        merged = {k: v for k, v in _common(same).items() if k not in METRICS}
        for name in METRICS:
            values = [r[name] for r in same]
            merged |= {name: float(np.mean(values)), f"{name}_std": float(np.std(values))}
        rows.append(merged | {"runs": len(same)})
    return rows


def _identity(row: Row) -> tuple:
    return tuple(row[k] for k in ("detector", "ood", "group", "n_id", "n_ood"))


if __name__ == "__main__":
    from adapt_jax import merge

    merge.main()
