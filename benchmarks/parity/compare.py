"""How far two programs are apart: groups of named arrays in, one row of a table per group out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

Groups = Mapping[str, Mapping[str, np.ndarray]]
ROUNDING = 10.0  # two programs round at every step, and a control is changed once, at the start


class Row(NamedTuple):
    """One group: the largest difference of any entry, the largest entry, and what is allowed.

    limit is relative to the largest entry where that is above 1. control is how far the official
    program is from itself from nudged weights; `ROUNDING` times as much is allowed too.
    """

    what: str
    difference: float
    largest: float
    limit: float
    control: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the limit; never where something is not finite."""
        allowed = self.limit * max(1.0, self.largest)
        if self.control is not None and np.isfinite(self.control):
            allowed = max(allowed, ROUNDING * self.control)
        return bool(np.isfinite(self.difference) and self.difference <= allowed)


def compare(ours: Groups, theirs: Groups, limit: float | Mapping[str, float]) -> list[Row]:
    """One row per group of `theirs`; `ours` may have more groups.

    Args:
      ours: this program's arrays, as group -> name -> array.
      theirs: the official program's arrays.
      limit: the largest relative difference, or one per group.

    Raises:
      ValueError: a group is missing or empty, or its names or shapes differ.
    """
    rows = []
    for group, arrays in theirs.items():
        mine = ours.get(group, {})
        if mine.keys() != arrays.keys() or not arrays:
            odd = sorted(mine.keys() ^ arrays.keys())[:4]
            raise ValueError(f"{group}: one side alone has {odd or 'nothing at all'}")
        for name, array in arrays.items():
            if np.shape(mine[name]) != np.shape(array):
                raise ValueError(
                    f"{group}: {name} has shape {np.shape(mine[name])} here "
                    f"and {np.shape(array)} there"
                )
        apart = [_largest(np.subtract(mine[n], arrays[n], dtype=np.float64)) for n in arrays]
        size = [_largest(np.asarray(a, np.float64)) for a in arrays.values()]
        allowed = limit if isinstance(limit, float) else limit[group]
        rows.append(Row(group, max(apart), max(size), allowed))
    return rows


def tenths(losses: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Losses (steps,) as ten groups of steps, or one a step where there are fewer than ten."""
    steps = len(next(iter(losses.values())))
    parts = [part for part in np.array_split(np.arange(steps), 10) if len(part)]
    return {
        f"losses, steps {p[0] + 1} to {p[-1] + 1}": {n: v[p] for n, v in losses.items()}
        for p in parts
    }


def nudged(weights: Mapping[str, np.ndarray], size: float) -> dict[str, np.ndarray]:
    """Weights in float64 changed by the relative `size`, each up or down at random.

    Raises:
      ValueError: the size is below the spacing of float64, and would change little or nothing.
    """
    if size < np.finfo(np.float64).eps:
        raise ValueError(f"a nudge of {size:.1e} is below {np.finfo(np.float64).eps:.1e}")
    rng = np.random.default_rng(0)
    return {
        name: array * (1 + size * rng.choice([-1.0, 1.0], np.shape(array)))
        for name, array in weights.items()
    }


def _largest(array: np.ndarray) -> float:
    """The largest magnitude; infinity where an entry is not finite."""
    return float(np.abs(array).max()) if np.isfinite(array).all() else np.inf


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| | largest difference | of the control | largest value | within |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        verdict = f"{row.limit:.0e}" if row.agrees else f"**no: above {row.limit:.0e}**"
        if row.agrees and row.difference > row.limit * max(1.0, row.largest):
            verdict = f"{ROUNDING:.0f} x control"
        control = "" if row.control is None else f"{row.control:.1e}"
        lines.append(
            f"| {row.what} | {row.difference:.1e} | {control} | {row.largest:.3g} | {verdict} |"
        )
    return "\n".join(lines)
