"""Result rows, one for each detector on each OOD set: building, checking, means over sets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from adapt_jax import metrics
from adapt_jax.core import checks
from adapt_jax.core.errors import InputError
from adapt_jax.metrics import selective
from adapt_jax.results.tables import MEAN, Row

METRICS = tuple(name for name, _ in metrics.COLUMNS if not name.startswith("n_"))
SELECTIVE = tuple(name for name, _ in selective.COLUMNS)  # where they were asked for


def numeric(row: Row) -> tuple[str, ...]:
    """The columns of a row that are averaged over sets and seeds."""
    return METRICS + tuple(name for name in SELECTIVE if name in row)


def check_scores(scores, detector: str, set_name: str) -> np.ndarray:
    """The scores (N,), refused when they cannot rank anything.

    Raises:
      InputError: no score, NaN or infinity, or one value for several images; names both sides.
    """
    scores = np.asarray(scores)
    where = f"detector {detector!r} on set {set_name!r}"
    if scores.ndim != 1 or scores.size == 0:
        raise InputError(f"{where}: expected scores of shape (N,), N >= 1, got {scores.shape}")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise InputError(f"{where}: {bad} of {scores.size} scores are NaN or infinite")
    if scores.size > 1 and (scores == scores[0]).all():
        raise InputError(
            f"{where}: all {scores.size} scores are {scores[0]:g}; "
            "a constant ranks nothing, so no metric is reported"
        )
    return scores


def row(detector: str, ood: str, group: str, id_scores, ood_scores, **extra) -> Row:
    """One result row: `detector, ood, group`, then every column of `metrics.COLUMNS`.

    Args:
      detector: name of the detector.
      ood: name of the OOD set.
      group: group of the OOD set: "near", "far", ...
      id_scores: scores (N,) of the ID test set.
      ood_scores: scores (M,) of the OOD set.
      **extra: further fields of the row (stream order, batch size), which stand before the metrics.

    Raises:
      InputError: degenerate scores, or a set called "mean".
    """
    if ood == MEAN:
        raise InputError('an OOD set cannot be called "mean": that name marks the mean rows')
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
                "a mean needs the same ID test set"
            )
        mean = {"detector": detector, "ood": MEAN, "group": group}
        mean |= {k: v for k, v in _common(members).items() if k != "ood"}
        mean |= {k: float(np.mean([m[k] for m in members])) for k in numeric(members[0])}
        mean |= {"n_id": members[0]["n_id"], "n_ood": sum(m["n_ood"] for m in members)}
        means.append(mean)
    return means


def check(content: Mapping[str, Any]) -> None:
    """Finds what cannot be a result in what results.json holds: NaN, 1250 %, a row without a set.

    Raises:
      ValueError: says what, and in which row.
    """
    for name in ("protocol", "id", "method", "model", "checkpoint_sha256"):
        if not isinstance(content[name], str):
            raise ValueError(f"{name} is {content[name]!r}")
    for name in ("config", "searched"):
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"{name} is {content[name]!r}")
    for name, value in content.items():
        if name.endswith("_accuracy"):
            checks.fraction(**{name: value})
    for number, row in enumerate(content["rows"]):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is {type(row).__name__}")
        for name in ("detector", "ood", "group"):
            if not isinstance(row.get(name), str):
                raise ValueError(f"{name} of row {number} is {row.get(name)!r}")
        columns = (m + end for m in (*METRICS, *SELECTIVE) for end in ("", "_low", "_high"))
        values = {c: row.get(c) for c in columns if c in row or c in METRICS}
        try:
            checks.fraction(**values)
            checks.positive_int(n_id=row.get("n_id"), n_ood=row.get("n_ood"))
        except ValueError as e:
            raise ValueError(f"row {number}: {e}") from None


def _common(rows: Sequence[Row]) -> Row:
    """The fields on which all rows agree, in the order of the first."""
    return {k: v for k, v in rows[0].items() if all(r.get(k) == v for r in rows)}


def _grouped(rows: Iterable[Row], *keys: str) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for r in rows:
        if r["ood"] != MEAN:
            groups.setdefault(tuple(r[k] for k in keys), []).append(r)
    return groups
