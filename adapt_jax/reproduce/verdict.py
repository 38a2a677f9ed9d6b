"""Whether our runs agree with a published figure, given the spread of both over runs.

The band around a published mean is how far two sets of runs of one program lie apart: in 95 of
100 repetitions the difference of their means lies inside (Welch's t, from the deviations of both
sides; where one side prints no deviation it is taken to vary as much as the other). It is wide
where runs are few, so it is shown beside every verdict.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from adapt_jax.reproduce.published import Figure

LEVEL = 0.05
ROUNDING = 0.005  # figures are printed with two decimals


class Judgement(NamedTuple):
    """One figure of ours beside a published one; all in percent.

    place, column: the figure, see `published.Line`.
    ours, spread: mean and population deviation over our runs, None of a single run.
    theirs: the published figure.
    band: half width of the band around it, None where no spread is known.
    state: "within", "better", "worse", or "unknown" without a band.
    """

    place: str
    column: str
    ours: float
    spread: float | None
    theirs: Figure
    band: float | None
    state: str

    @property
    def difference(self) -> float:
        """Ours minus theirs."""
        return self.ours - self.theirs.mean


def band(ours: Sequence[float], theirs: Figure, runs: int, tolerance: float = 0.0) -> float | None:
    """Half the width of the band in which the mean of our runs is expected.

    Args:
      ours: figures of our runs, in percent.
      theirs: the published figure.
      runs: number of runs behind it; 0 counts as 1.
      tolerance: smallest half width, for results that do not vary over seeds.

    Returns:
      Points; None where neither side has a spread and no tolerance is given.
    """
    n, m = len(ours), max(runs, 1)
    own = float(np.var(ours, ddof=1)) if n > 1 else None
    other = theirs.spread**2 * m / (m - 1) if theirs.spread is not None and m > 1 else None
    if own is None and other is None:
        return tolerance or None
    if own is not None and other is not None:
        parts = (own / n, other / m)
        squares = parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1)
        freedom = sum(parts) ** 2 / squares if squares else 1.0
        variance = sum(parts)
    else:
        shared, freedom = (own, n - 1) if own is not None else (other, m - 1)
        variance = shared * (1 / n + 1 / m)
    half = stats.t.ppf(1 - LEVEL / 2, freedom) * math.sqrt(variance)
    return max(float(half), tolerance, ROUNDING)


def compare(
    place: str,
    column: str,
    ours: Sequence[float],
    theirs: Figure,
    runs: int,
    tolerance: float = 0.0,
) -> Judgement:
    """Compares the figures of our runs with a published one.

    Args:
      place: OOD set or group mean that the figure is about.
      column: metric, "fpr95" (less is better) or "auroc".
      ours: figures of our runs, in percent.
      theirs: the published figure.
      runs: number of runs behind it.
      tolerance: smallest half width of the band.
    """
    mean, half = float(np.mean(ours)), band(ours, theirs, runs, tolerance)
    spread = float(np.std(ours)) if len(ours) > 1 else None
    above = mean - theirs.mean
    if half is None:
        state = "unknown"
    elif abs(above) <= half + 1e-9:
        state = "within"
    else:
        state = "better" if (above > 0) == (column == "auroc") else "worse"
    return Judgement(place, column, mean, spread, theirs, half, state)


def sentence(
    judgements: Sequence[Judgement],
    *,
    floor: bool = False,
    reservations: Sequence[str] = (),
) -> str:
    """The verdict on a line of a published table.

    Args:
      judgements: figures of the line that could be compared.
      floor: whether the line belongs to another method, which ours should not fall below.
      reservations: what keeps the comparison from being one with the published result as it stands.
    """
    judged = [j for j in judgements if j.state != "unknown"]
    count = {state: sum(j.state == state for j in judged) for state in ("better", "worse")}
    outside = count["better"] + count["worse"]
    yes, no = ("agrees", "differs") if reservations else ("reproduced", "not reproduced")
    if not judgements:
        text = "nothing to compare: no published figure for what was evaluated"
    elif not judged:
        text = (
            "no verdict: one run on both sides, so nobody knows what chance does; more seeds help"
        )
    elif floor:
        below = count["worse"]
        text = (
            f"below the floor in {below} of {len(judged)} figures"
            if below
            else "not below the floor"
        )
    elif outside:
        text = (
            f"{no}: {outside} of {len(judged)} figures outside the band "
            f"({count['better']} better, {count['worse']} worse; chance alone puts 1 of 20 outside)"
        )
    else:
        widest = max(j.band for j in judged)
        text = f"{yes}: all {len(judged)} figures within the band (at most ±{widest:.2f} points)"
    return "; ".join([text, *reservations])
