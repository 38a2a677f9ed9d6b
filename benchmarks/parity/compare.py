"""How far two programs are apart: groups of named arrays in, one row of a table per group out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

Groups = Mapping[str, Mapping[str, np.ndarray]]


class Row(NamedTuple):
    """One group: the largest difference of any entry, the largest entry, and what is allowed.

    limit is relative to the largest entry where that is above 1.
    """

    what: str
    difference: float
    largest: float
    limit: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the limit; never where something is not finite."""
        allowed = self.limit * max(1.0, self.largest)
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


def growth(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> list[float]:
    """The largest difference of any loss in each tenth of the steps: rounding grows smoothly."""
    apart = np.max([np.abs(np.subtract(ours[name], theirs[name])) for name in theirs], axis=0)
    return [_largest(part) for part in np.array_split(apart, 10) if len(part)]


def _largest(array: np.ndarray) -> float:
    """The largest magnitude; infinity where an entry is not finite."""
    return float(np.abs(array).max()) if np.isfinite(array).all() else np.inf


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| | largest difference | largest value | within |", "| --- | ---: | ---: | --- |"]
    for row in rows:
        verdict = f"{row.limit:.0e}" if row.agrees else f"**no: above {row.limit:.0e}**"
        lines.append(f"| {row.what} | {row.difference:.1e} | {row.largest:.3g} | {verdict} |")
    return "\n".join(lines)
