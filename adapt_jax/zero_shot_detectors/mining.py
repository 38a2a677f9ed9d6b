"""NegMining: the candidate words least similar to the ID labels (NegLabel, section 3.2)."""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import checked_unit_rows, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import fraction as check_fraction
from adapt_jax.core.checks import one_of
from adapt_jax.core.errors import InputError
from adapt_jax.zero_shot_detectors.base import cosines

Convention = Literal["neglabel", "openood_vlm"]
_BLOCK = 1024  # candidates whose cosines with all labels are there at one time


def mine_negatives(
    candidates: np.ndarray,
    labels: np.ndarray,
    percentile: float = 0.95,
    fraction: float = 0.15,
    *,
    count: int | None = None,
    convention: Convention = "neglabel",
    near_duplicate: float | None = None,
) -> np.ndarray:
    """Ranks candidates by a high quantile of their cosines with the labels and keeps the lowest.

    Args:
      candidates: (W, D) unit rows. Rank nouns and adjectives in calls of their own, as the authors
        do.
      labels: (C, D) unit rows.
      percentile: quantile of the cosines that candidates are ranked by, in [0, 1].
      fraction: share of the candidates to keep: int(fraction * W) of them.
      count: number of candidates to keep, instead of a fraction.
      convention: definition of the quantile: "neglabel" interpolates linearly between order
        statistics; "openood_vlm" takes element int(percentile * C) of the ascending cosines (the
        last one, if that is past it).
      near_duplicate: cosine above which a candidate counts as a near duplicate of a label and is
        chosen last; CSP uses 0.95. None makes no exception.

    Returns:
      Rows of `candidates`, int64, least similar first; of equal ones the earlier first.

    Raises:
      InputError: the rows are not unit rows of one width, or `count` exceeds W.
    """
    check_fraction(percentile=percentile, fraction=fraction)
    one_of(get_args(Convention), convention=convention)
    labels = checked_unit_rows(labels, "mine_negatives: labels")
    if not len(labels):
        raise InputError("mine_negatives: there is no label")
    candidates = checked_unit_rows(candidates, "mine_negatives: candidates", width=labels.shape[1])
    total = len(candidates)
    keep = int(fraction * total) if count is None else count
    if not 0 <= keep <= total:
        raise InputError(f"mine_negatives: count={count} must lie in 0..{total}, the candidates")
    if not total:
        return np.zeros(0, np.int64)
    texts = jnp.asarray(labels, working_dtype(labels.dtype))
    largest = len(labels) - 1
    if convention == "neglabel":
        rank = percentile * largest
    else:
        rank = min(int(percentile * len(labels)), largest)
    cosine = partial(_cosines, texts)
    similarity = [
        _similarity(
            map_rows(cosine, candidates[start : start + _BLOCK], _BLOCK), rank, near_duplicate
        )
        for start in range(0, total, _BLOCK)
    ]
    return np.argsort(np.concatenate(similarity), kind="stable")[:keep]


@jax.jit
def _cosines(texts: jax.Array, rows: jax.Array) -> jax.Array:
    return cosines(rows, texts)


def _similarity(cosine: np.ndarray, rank: float, near_duplicate: float | None) -> np.ndarray:
    """What candidates are ranked by, (N,), from their cosines with all labels (N, C)."""
    similarity = _order_statistic(cosine, rank)
    if near_duplicate is None:
        return similarity
    return np.where(np.max(cosine, axis=1) > near_duplicate, 1, similarity)


def _order_statistic(cosine: np.ndarray, rank: float) -> np.ndarray:
    """The value of ascending rank `rank` in each row of (N, C), between neighbours if fractional.

    On the host: selecting is linear there, while XLA sorts whole rows on a CPU.
    """
    below = int(rank)
    above = min(below + 1, cosine.shape[1] - 1)
    ordered = np.partition(cosine, (below, above), axis=1)
    low, high = ordered[:, below], ordered[:, above]
    return low + (high - low) * (rank - below)
