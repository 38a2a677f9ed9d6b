"""Energy of the classifier on reshaped features: ReAct, VRA, ASH-B, SCALE; of a pruned one: DICE.

The papers are named at each detector. Code: https://github.com/Jingkang50/OpenOOD.

Every score is logsumexp_c(g(f) @ kernel + bias); the detectors differ in
g, or in the kernel. They need the head and no logits: these are computed anew.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import matmul, traced, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector, Head, Outputs
from adapt_jax.detectors.checks import features_of, head_of, val_of

_BLOCK = 512
_LARGEST_EXPONENT = 80.0


class Clip(NamedTuple):
    """low, high (): the bounds of an activation; head: of the classifier."""

    low: jax.Array
    high: jax.Array
    head: Head


def react(*, percentile: float = 90.0) -> Detector:
    """g(f) = min(f, q) (Sun et al. 2021).

    Paper: ReAct: Out-of-distribution Detection With Rectified Activations (NeurIPS 2021),
    https://arxiv.org/abs/2111.12797.

    Args:
      percentile: number in [0, 100]; q is that percentile of all activations of all validation
        images.

    State: `Clip`, low = -inf. Needs val and the head; `fit` raises InputError without them. Where
    q is 0, because fewer activations than that are positive, all images score alike.
    """
    _check_percentiles(percentile=percentile)
    return _clipped("react", None, percentile)


def vra(*, upper: float = 90.0, lower: float = 10.0) -> Detector:
    """g(f) = min(max(f, q_low), q_high) (Xu et al. 2023).

    Paper: VRA: Variational Rectified Activation for Out-of-distribution Detection (NeurIPS 2023),
    https://proceedings.neurips.cc/paper_files/paper/2023/hash/5c20c00504e0c049ec2370d0cceaf3c4-Abstract-Conference.html

    Args:
      upper, lower: percentiles that give q_high and q_low, as in `react`; lower < upper.

    State: `Clip`. Needs val and the head; `fit` raises InputError without them.
    """
    _check_percentiles(upper=upper, lower=lower)
    if not lower < upper:
        raise ValueError(f"lower must be below upper, got {lower!r} and {upper!r}")
    return _clipped("vra", lower, upper)


def ash(*, percentile: float = 90.0) -> Detector:
    """g(f) = sum(f) / k on the k largest activations, 0 elsewhere (Djurisic et al. 2023, ASH-B).

    Paper: Extremely Simple Activation Shaping for Out-of-Distribution Detection (ICLR 2023),
    https://arxiv.org/abs/2209.09858.

    Of equal activations the first count as larger (the original leaves it to the sort), which
    matters when fewer than k are positive. A feature of zeros scores the energy of the bias.

    Args:
      percentile: percentage of the D activations that is removed, in [0, 100];
        k = D - round(D percentile / 100).

    State: the `Head`. Needs it and features after a ReLU; `fit` and `score` raise InputError
    otherwise, `fit` also when k is 0.
    """
    _check_percentiles(percentile=percentile)
    return _of_largest("ash", percentile, _ash)


def scale(*, percentile: float = 85.0) -> Detector:
    """g(f) = f exp(sum(f) / sum of the k largest activations) (Xu et al. 2024).

    Paper: Scaling for Training Time and Post-hoc Out-of-distribution Detection Enhancement (ICLR
    2024), https://arxiv.org/abs/2310.00227.

    A feature of zeros stays zero and scores the energy of the bias (the original: NaN). The
    exponent stops at 80, before float32 overflows; only a flat feature with k < D / 80 gets there.

    Args:
      percentile: percentage of the activations outside the k largest, as in `ash`.

    State and errors as in `ash`.
    """
    _check_percentiles(percentile=percentile)
    return _of_largest("scale", percentile, _scale)


def dice(*, percentile: float = 90.0) -> Detector:
    """Energy with a sparse kernel (Sun and Li 2022).

    Paper: DICE: Leveraging Sparsification for Out-of-Distribution Detection (ECCV 2022),
    https://arxiv.org/abs/2111.09805.

    An entry stays where its contribution, mean training feature times weight, exceeds the
    percentile of all D * C contributions; the rest become zero.

    Args:
      percentile: percentile of the contributions, in [0, 100].

    State: the `Head`, pruned. Needs the head; `fit` raises InputError without it or when no entry
    stays.
    """
    _check_percentiles(percentile=percentile)

    def fit(train: Outputs, val=None, head: Head | None = None) -> Head:
        features = features_of(train, "dice.fit")
        kernel, bias = _on_device(head_of(head, "dice.fit", features.shape[1]))
        mean = features.mean(axis=0, dtype=np.float64).astype(working_dtype(features.dtype))
        contribution = mean[:, None] * np.asarray(kernel)
        kept = contribution > np.percentile(contribution, percentile)
        if not kept.any():
            raise InputError(
                f"dice.fit: no contribution exceeds the {percentile:g}th percentile, so no weight "
                "is left; lower the percentile, or look for features that are all zero"
            )
        return Head(jnp.where(kept, kernel, 0.0), bias)

    def score(state: Head, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "dice.score", width=len(state.kernel))
        return map_rows(partial(_energy, head=state), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["head"]))


def _clipped(name: str, lower: float | None, upper: float) -> Detector:
    def fit(train: Outputs, val: Outputs | None = None, head: Head | None = None) -> Clip:
        where = f"{name}.fit"
        features = features_of(val_of(val, where), where)
        head = head_of(head, where, features.shape[1])
        features = features.astype(working_dtype(features.dtype), copy=False)
        high = np.percentile(features, upper)
        low = -np.inf if lower is None else np.percentile(features, lower)
        low, high = (jnp.asarray(bound, features.dtype) for bound in (low, high))
        return Clip(low, high, _on_device(head))

    def score(state: Clip, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, f"{name}.score", width=len(state.head.kernel))
        return map_rows(partial(_clip, state=state), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["head", "val"]))


def _of_largest(name: str, percentile: float, function: Callable[..., jax.Array]) -> Detector:
    def largest(width: int) -> int:
        return width - round(width * percentile / 100.0)

    def fit(train: Outputs, val=None, head: Head | None = None) -> Head:
        features = _of_activations(train, f"{name}.fit")
        width = features.shape[1]
        if largest(width) < 1:
            raise InputError(
                f"{name}.fit: percentile {percentile:g} leaves 0 of {width} activations; lower it"
            )
        return _on_device(head_of(head, f"{name}.fit", width))

    def score(state: Head, outputs: Outputs) -> np.ndarray:
        width = len(state.kernel)
        features = _of_activations(outputs, f"{name}.score", width)
        return map_rows(partial(function, head=state, k=largest(width)), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["head"]))


def _check_percentiles(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 100:
            raise ValueError(f"{name} must lie in [0, 100], got {value!r}")


def _of_activations(outputs: Outputs, where: str, width: int | None = None) -> np.ndarray:
    """The features, whose sum the method divides or multiplies by: none sums to less than zero.

    Made for features after a ReLU, the formulas are executed as they are on a few negative ones;
    those of a transformer sum to anything, and the score would be noise. Each row is judged by
    itself, so that it passes in any batch or in none.
    """
    features = features_of(outputs, where, width)
    if traced(features):
        return features
    negative = features.sum(axis=1) < -1e-6 * np.abs(features).max(axis=1)
    if negative.any():
        raise InputError(
            f"{where}: {np.count_nonzero(negative)} of {len(features)} feature rows sum to less "
            f"than zero (the first is row {int(np.argmax(negative))}), which the method has no "
            "meaning for; use features after a ReLU, or react"
        )
    return features


def _on_device(head: Head) -> Head:
    kernel, bias = (jnp.asarray(array, working_dtype(array.dtype)) for array in head)
    return Head(kernel, bias)


@jax.jit
def _energy(features: jax.Array, head: Head) -> jax.Array:
    logits = matmul(features, head.kernel) + head.bias[None]
    return jax.nn.logsumexp(logits, axis=1)


@jax.jit
def _clip(rows: jax.Array, state: Clip) -> jax.Array:
    return _energy(jnp.clip(rows, state.low, state.high), state.head)


@partial(jax.jit, static_argnames="k")
def _ash(rows: jax.Array, head: Head, k: int) -> jax.Array:
    _, index = jax.lax.top_k(rows, k)
    kept = jax.vmap(lambda row, i: row.at[i].set(1.0))(jnp.zeros_like(rows), index)
    return _energy(kept * (jnp.sum(rows, axis=1, keepdims=True) / k), head)


@partial(jax.jit, static_argnames="k")
def _scale(rows: jax.Array, head: Head, k: int) -> jax.Array:
    largest = jnp.sum(jax.lax.top_k(rows, k)[0], axis=1, keepdims=True)
    share = jnp.sum(rows, axis=1, keepdims=True) / jnp.where(largest > 0, largest, 1.0)
    return _energy(rows * jnp.exp(jnp.minimum(share, _LARGEST_EXPONENT)), head)
