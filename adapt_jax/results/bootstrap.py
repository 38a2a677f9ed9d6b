"""Bootstrap intervals: the uncertainty of a metric due to the choice of test images.

ID and OOD images are drawn anew, with replacement, each from their own set (Efron's percentile
interval). It says nothing about other training seeds; several runs do.
"""

from collections.abc import Sequence

import numpy as np

from adapt_jax.config.fields import check_bootstrap
from adapt_jax.metrics import resampling
from adapt_jax.results import result_rows
from adapt_jax.results.tables import Row

_TAIL = 2.5  # percent of the resamples on either side of an interval


def with_means(rows: Sequence[Row], scores: Sequence[tuple], resamples: int = 0) -> list[Row]:
    """The rows of OOD sets with intervals, and behind those of each group their mean.

    Args:
      rows: result rows of one detector, one per OOD set.
      scores: pairs of ID scores (N,) and OOD scores (M,), one per row.
      resamples: number of bootstrap resamples; 0 for no intervals.

    Raises:
      InputError: one resample or less than none.
    """
    check_bootstrap(resamples)
    drawn = [_draws(own, ood, resamples, i) for i, (own, ood) in enumerate(scores)]
    ordered = []
    for mean in result_rows.mean_rows(rows):
        of_group = [i for i, row in enumerate(rows) if row["group"] == mean["group"]]
        ordered += [rows[i] | _interval(drawn[i]) for i in of_group]
        ordered.append(mean | _interval(np.mean([drawn[i] for i in of_group], axis=0)))
    return ordered


def _interval(drawn: np.ndarray) -> dict[str, float]:
    """`<metric>_low` and `<metric>_high` of draws (resamples, metrics); {} without any."""
    if not len(drawn):
        return {}
    low, high = np.percentile(drawn, [_TAIL, 100 - _TAIL], axis=0)
    interval: dict[str, float] = {}
    for name, a, b in zip(resampling.COLUMNS, low, high):
        interval |= {f"{name}_low": float(a), f"{name}_high": float(b)}
    return interval


def _draws(id_scores, ood_scores, resamples: int, stream: int) -> np.ndarray:
    """The metrics (resamples, metrics) of every draw.

    Sets with different streams see the same ID draws, so that draws can be averaged over them.
    """
    scores = np.concatenate([np.asarray(id_scores), np.asarray(ood_scores)])
    values, where = np.unique(scores, return_inverse=True)
    of_id, of_ood = where[: len(id_scores)], where[len(id_scores) :]
    id_rng, ood_rng = (np.random.default_rng(seed) for seed in (0, 1 + stream))
    return np.array([
        resampling.of_counts(_draw(id_rng, of_id, len(values)), _draw(ood_rng, of_ood, len(values)))
        for _ in range(resamples)
    ])  # fmt: skip


def _draw(rng, members: np.ndarray, size: int) -> np.ndarray:
    """How often each distinct score is drawn."""
    return np.bincount(members[rng.integers(len(members), size=len(members))], minlength=size)
