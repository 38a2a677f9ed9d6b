"""Means and deviations over runs that differ in their seed only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapt_jax.config.effects import Effect, changed
from adapt_jax.core.errors import InputError
from adapt_jax.results.result_rows import _common, numeric
from adapt_jax.results.tables import Row


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
        raise InputError("no results to aggregate")
    for key in ("protocol", "id", "method", "model"):
        values = list(dict.fromkeys(str(r[key]) for r in results))
        if len(values) > 1:
            raise InputError(f"runs differ in {key} ({' and '.join(values)}); do not mix them")
    for run in results[1:]:
        changes = changed(results[0].get("config", {}), run.get("config", {}), Effect.RESULT)
        for key, (was, now) in changes.items():
            if key != "seed":
                raise InputError(f"runs differ in {key} ({was} and {now}); do not mix them")
    runs = [(r["seed"], r["checkpoint_sha256"]) for r in results]
    for identity in runs:
        if runs.count(identity) > 1:
            raise InputError(
                f"the run with seed {identity[0]} is given {runs.count(identity)} times; "
                "repeating it makes the deviation look smaller than it is"
            )
    keyed = [{_identity(row): row for row in r["rows"]} for r in results]
    for other, (seed, _) in zip(keyed, runs):
        if difference := set(keyed[0]) ^ set(other):
            detector, ood, group, n_id, n_ood = min(difference, key=str)
            raise InputError(
                f"the runs with seeds {runs[0][0]} and {seed} were evaluated differently: only "
                f"one has detector {detector!r}, set {ood!r} ({group}, {n_id} ID, {n_ood} OOD)"
            )
    rows = []
    for identity in keyed[0]:
        same = [k[identity] for k in keyed]
        names = [k for k in numeric(same[0]) if all(k in r for r in same)]
        merged = {k: v for k, v in _common(same).items() if k not in names}
        if len(same) > 1:  # intervals are about the images of one run
            merged = {k: v for k, v in merged.items() if not k.endswith(("_low", "_high"))}
        for name in names:
            column = [r[name] for r in same]
            merged |= {name: float(np.mean(column)), f"{name}_std": float(np.std(column))}
        rows.append(merged | {"runs": len(same)})
    return rows


def _identity(row: Row) -> tuple:
    return tuple(row[k] for k in ("detector", "ood", "group", "n_id", "n_ood"))
