"""fDBD: average distance to the decision boundaries (Liu & Qin 2024).

Paper: Fast Decision Boundary based Out-of-Distribution Detector (ICML 2024),
https://arxiv.org/abs/2312.11536. Code: https://github.com/Jingkang50/OpenOOD.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import Array, on_device, traced, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, head_of, logits_of

_BLOCK = 512


class Boundaries(NamedTuple):
    """center (D,) of the features; slope (C, C): 1 / |W_c - W_k|, zero on the diagonal."""

    center: jax.Array
    slope: jax.Array


def make(*, centered: bool = True) -> Detector:
    """score = sum_k (l_c - l_k) / |W_c - W_k| / |f - mu|, c the predicted class.

    Args:
      centered: whether to divide by the distance to the training mean, as the paper does, or by
        |f|. OpenOOD chooses with its OOD validation set.

    State: `Boundaries`. Needs the head and logits. `fit` raises InputError when two classes (named)
    have the same weights, `score` when the divisor is zero: the limit of the formula is infinite,
    which would make an image without any feature the most in-distribution of all.
    """

    def fit(train: Outputs, val=None, head=None) -> Boundaries:
        features = features_of(train, "fdbd.fit")
        width = features.shape[1]
        kernel = head_of(head, "fdbd.fit", width).kernel
        center = np.zeros(width)
        if centered:
            center = gaussian.class_means(features, np.zeros(len(features), np.int64), 1)[0]
        dtype = working_dtype(features.dtype)
        return Boundaries(on_device(center, dtype), on_device(_slopes(kernel), dtype))

    def score(state: Boundaries, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "fdbd.score", width=len(state.center))
        logits = logits_of(outputs, "fdbd.score", classes=len(state.slope))
        scores = map_rows(partial(_score, model=state), (features, logits), _BLOCK)
        if traced(scores):
            return scores
        lost = ~np.isfinite(scores)
        if lost.any():
            what = "equal to the training mean" if centered else "zero (try centered=True)"
            raise InputError(
                f"fdbd.score: {np.count_nonzero(lost)} of {len(scores)} features are {what}, the "
                f"first is row {int(np.argmax(lost))}; their score is undefined"
            )
        return scores

    return Detector(fit, score, needs=frozenset(["logits", "head"]))


def _slopes(kernel: Array) -> np.ndarray:
    """1 / |W_c - W_k| (C, C) in float64 from a kernel (D, C); zero on the diagonal."""
    weights = np.asarray(kernel, np.float64)
    weights = weights - weights.mean(axis=1, keepdims=True)  # no difference changes, sizes shrink
    size = np.sum(weights**2, axis=0)
    size = size[:, None] + size[None]
    square = size - 2 * weights.T @ weights
    np.fill_diagonal(square, np.inf)
    same = np.argwhere(square <= len(weights) * gaussian.EPS * size)
    if len(same):
        raise InputError(
            f"fdbd.fit: classes {same[0][0]} and {same[0][1]} have the same weights, no boundary "
            "between them; train the classifier first"
        )
    return 1 / np.sqrt(square)


@jax.jit
def _score(rows: tuple[jax.Array, jax.Array], model: Boundaries) -> jax.Array:
    features, logits = rows
    behind = jnp.max(logits, axis=1, keepdims=True) - logits  # (B, C)
    distance = jnp.sum(behind * model.slope[jnp.argmax(logits, axis=1)], axis=1)
    return distance / jnp.linalg.norm(features - model.center[None], axis=1)
