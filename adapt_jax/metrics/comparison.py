"""Paired tests of whether runs that scored the same images differ.

How far AUROCs vary together with the choice of test images has a closed form (DeLong, DeLong and
Clarke-Pearson 1988, in the midrank form of Sun and Xu 2014). For FPR95 the images are resampled,
the same draw for every run. How far they vary with the training seed is seen from several runs.
Both are combined as for readers and cases (Obuchowski and Rockette 1995): runs share images, so
the mean over S runs has the covariance of two different runs, plus 1/S of the variance between
runs, which is at least what images alone give it. Degrees of freedom are Satterthwaite's, of what
few runs show: where images decide, their number is large. With a single run of a method nothing is
known about its seeds, and the test is about the images only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.metrics import resampling

LEVEL = 0.05
"""Differences with an adjusted p-value above it are called not distinguishable."""


class Estimate(NamedTuple):
    """A metric of R runs on the same images, and how it varies with the choice of images.

    values: (R,) float64, the metric of every run, averaged over the OOD sets.
    covariance: (R, R) float64, of the values over new samples of images.
    """

    values: np.ndarray
    covariance: np.ndarray


class Difference(NamedTuple):
    """A tested difference of two means over runs.

    value: the first minus the second.
    error: the standard error of the value.
    low, high: the interval that holds the true difference with probability 1 - LEVEL.
    p_value: two-sided, of the hypothesis that there is no difference.
    over: what was drawn at random: "images", or "images and seeds".
    """

    value: float
    error: float
    low: float
    high: float
    p_value: float
    over: str


def delong(id_scores, ood_scores: Sequence) -> Estimate:
    """AUROCs and their covariance over images, in closed form; ties count one half.

    Args:
      id_scores: scores (R, N) of R runs on the same N ID images, larger = more in-distribution.
      ood_scores: scores (R, M) of each OOD set; AUROCs are averaged over the sets.

    Returns:
      An estimate, exact in float64.

    Raises:
      InputError: a side has fewer than two images, or the sides have different runs.
    """
    id_scores, ood_scores = _checked(id_scores, ood_scores)
    # The share of the other side that each image is rightly ordered with, ties as one half.
    of_id = np.zeros_like(id_scores)
    covariance = np.zeros((len(id_scores),) * 2)
    for scores in ood_scores:
        n, m = id_scores.shape[1], scores.shape[1]
        together = _midranks(np.concatenate([id_scores, scores], axis=1))
        of_id += (together[:, :n] - _midranks(id_scores)) / (m * len(ood_scores))
        of_ood = 1 - (together[:, n:] - _midranks(scores)) / n
        covariance += np.atleast_2d(np.cov(of_ood)) / (m * len(ood_scores) ** 2)
    covariance += np.atleast_2d(np.cov(of_id)) / n
    return Estimate(of_id.mean(axis=1), covariance)


def bootstrap(
    id_scores, ood_scores: Sequence, metric: str, resamples: int = 500, *, seed: int = 0
) -> Estimate:
    """A metric and its covariance over images, by resampling: all runs see the same draws.

    Args:
      id_scores: scores (R, N) of R runs on the same N ID images, larger = more in-distribution.
      ood_scores: scores (R, M) of each OOD set; the metric is averaged over the sets.
      metric: name of the metric, one of `resampling.COLUMNS`.
      resamples: number of bootstrap resamples, at least 2.
      seed: seed of the draws.

    Raises:
      InputError: an unknown metric, too few resamples, a side with fewer than two images, or sides
        with different runs.
    """
    if metric not in resampling.COLUMNS:
        names = ", ".join(resampling.COLUMNS)
        raise InputError(f"metric {metric!r} cannot be resampled; take one of {names}")
    if resamples < 2:
        raise InputError(f"a covariance needs at least 2 resamples, got {resamples}")
    id_scores, ood_scores = _checked(id_scores, ood_scores)
    column = resampling.COLUMNS.index(metric)
    ranks = [
        [np.unique(np.concatenate(pair), return_inverse=True)[1] for pair in zip(id_scores, scores)]
        for scores in ood_scores
    ]
    n = id_scores.shape[1]

    def values(id_counts: np.ndarray, ood_counts: Sequence[np.ndarray]) -> np.ndarray:
        by_set = []
        for of_runs, counts in zip(ranks, ood_counts):
            of_set = []
            for rank in of_runs:
                size = rank.max() + 1
                ids = np.bincount(rank[:n], id_counts, size)
                oods = np.bincount(rank[n:], counts, size)
                of_set.append(resampling.of_counts(ids, oods)[column])
            by_set.append(of_set)
        return np.mean(by_set, axis=0)

    rng = np.random.default_rng(seed)
    sizes = [scores.shape[1] for scores in ood_scores]
    drawn = [values(_draw(rng, n), [_draw(rng, m) for m in sizes]) for _ in range(resamples)]
    covariance = np.atleast_2d(np.cov(np.transpose(drawn)))
    return Estimate(values(np.ones(n), [np.ones(m) for m in sizes]), covariance)


def difference(
    estimate: Estimate,
    first: Sequence[int],
    second: Sequence[int],
    *,
    paired_seeds: bool = False,
) -> Difference:
    """Tests whether two methods or detectors differ in the mean over their runs.

    Args:
      estimate: estimate of all runs, from `delong` or `bootstrap`.
      first: the indices of the first one's runs in the estimate, one per seed.
      second: the indices of the second one's runs.
      paired_seeds: whether the runs belong together in this order, as two detectors on the same
        trained networks do; otherwise they are independent trainings.

    Raises:
      InputError: no run, or paired seeds of different numbers.
    """
    from scipy import stats

    if not len(first) or not len(second):
        raise InputError("a difference needs at least one run on each side")
    if paired_seeds and len(first) != len(second):
        raise InputError(f"paired seeds need equal numbers, got {len(first)} and {len(second)}")
    # Each row is one run, or one pair of runs, as a combination of all runs.
    unit = np.eye(len(estimate.values))
    sides = [unit[list(first)], -unit[list(second)]]
    sides = [sides[0] + sides[1]] if paired_seeds else sides
    value = float(sum(np.mean(side @ estimate.values) for side in sides))
    several = min(map(len, sides)) > 1
    total = sum(side.mean(axis=0) for side in sides)
    variance, freedom = total @ estimate.covariance @ total, np.inf
    if several:
        noise, between = zip(*(_between_runs(side, estimate) for side in sides))
        variance = max(variance - sum(noise), 0.0) + sum(between)
        few = [b > n for b, n in zip(between, noise)]  # otherwise many images say how much it is
        spread = sum(f * b**2 / (len(side) - 1) for f, b, side in zip(few, between, sides))
        freedom = variance**2 / spread if spread else np.inf
    error = float(np.sqrt(variance))
    margin = error * stats.t.isf(LEVEL / 2, freedom)
    if value == 0 or error == 0:  # the same order of images, or nothing varies
        p_value = float(value == 0)
    else:
        p_value = 2 * stats.t.sf(abs(value) / error, freedom)
    over = "images and seeds" if several else "images"
    return Difference(value, error, value - margin, value + margin, float(p_value), over)


def pairwise(
    estimate: Estimate, members: Sequence[Sequence[int]], networks: Sequence | None = None
) -> np.ndarray:
    """Holm-adjusted p-values (K, K) of all differences between K methods or detectors.

    Args:
      estimate: estimate of all runs, from `delong` or `bootstrap`.
      members: indices of the runs of each of the K in the estimate.
      networks: labels (K,); those with the same label are detectors on the same trained networks in
        the same order, and their seeds are paired. By default all are different.
    """
    networks = range(len(members)) if networks is None else networks
    upper = np.triu_indices(len(members), 1)
    tested = [
        difference(estimate, members[a], members[b], paired_seeds=networks[a] == networks[b])
        for a, b in zip(*(side.tolist() for side in upper))
    ]
    p_values = np.ones((len(members),) * 2)
    p_values[upper] = holm([t.p_value for t in tested])
    return np.minimum(p_values, p_values.T)


def holm(p_values) -> np.ndarray:
    """Adjusted p-values (K,): all of them below a level at once are right with its confidence.

    Args:
      p_values: p-values (K,) of K hypotheses, however dependent.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def tie_groups(
    values, p_values, *, larger_is_better: bool = True, level: float = LEVEL
) -> list[tuple[int, ...]]:
    """Groups of values that are not distinguishable; two values share one exactly if they tie.

    Ties do not chain: A may tie with B and B with C although A and C differ, so that a value can
    be in several groups. Source: Piepho 2004's insert-and-absorb algorithm.

    Args:
      values: values (K,) of K methods or detectors.
      p_values: symmetric p-values (K, K), adjusted for the number of comparisons, as from
        `pairwise`.
      larger_is_better: whether the best value is the largest.
      level: the p-value up to which a difference is taken as real.

    Returns:
      Groups of indices, best first, within a group and by the best member.
    """
    order = np.argsort(
        -np.asarray(values) if larger_is_better else np.asarray(values), kind="stable"
    )
    differ = np.asarray(p_values)[np.ix_(order, order)] <= level
    groups = [frozenset(range(len(order)))]
    for a, b in zip(*np.nonzero(np.triu(differ, 1))):
        split = [g for g in groups if a in g and b in g]
        groups = [g for g in groups if g not in split]
        for candidate in (g - {x} for g in split for x in (b, a)):
            if not any(candidate <= g for g in groups):
                groups = [g for g in groups if not g <= candidate] + [candidate]
    return [tuple(int(order[i]) for i in g) for g in sorted(map(sorted, groups))]


def _checked(id_scores, ood_scores: Sequence) -> tuple[np.ndarray, list[np.ndarray]]:
    arrays = [np.asarray(scores, np.float64) for scores in (id_scores, *ood_scores)]
    shapes = [a.shape for a in arrays]
    fitting = all(a.ndim == 2 and len(a) == len(arrays[0]) and a.shape[1] > 1 for a in arrays)
    if len(arrays) < 2 or not fitting:
        raise InputError(
            "a comparison needs the ID scores and those of one OOD set or more, each of shape "
            f"(runs, images) with the same runs and at least two images, got shapes {shapes}"
        )
    if not all(np.isfinite(a).all() for a in arrays):
        raise InputError("a comparison needs finite scores, some are NaN or infinite")
    return arrays[0], arrays[1:]


def _midranks(scores: np.ndarray) -> np.ndarray:
    from scipy import stats  # slow to import

    return stats.rankdata(scores, axis=1)


def _draw(rng: np.random.Generator, size: int) -> np.ndarray:
    """How often each of `size` images is drawn."""
    return np.bincount(rng.integers(size, size=size), minlength=size)


def _between_runs(side: np.ndarray, estimate: Estimate) -> tuple[float, float]:
    """Two variances of the mean of a side's S runs: what only single runs have from these images,
    and all that differs between runs, which is at least that.
    """
    within = side @ estimate.covariance @ side.T
    count = len(side)
    shared = (within.sum() - np.trace(within)) / (count * (count - 1))
    noise = (np.trace(within) / count - shared) / count
    return noise, max(np.var(side @ estimate.values, ddof=1) / count, noise)
