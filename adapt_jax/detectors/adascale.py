"""AdaSCALE (Regmi 2025): SCALE whose percentile follows how a small perturbation moves an image.

Paper: AdaSCALE: Adaptive Scaling for OOD Detection (arXiv 2025), https://arxiv.org/abs/2503.08023.
Code: https://github.com/Jingkang50/OpenOOD (adascale_a, adascale_l), whose execution this follows.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from adapt_jax.core.arrays import matmul, working_dtype
from adapt_jax.core.checks import fraction, non_negative
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import ImageDetector, Network

_STEP = 0.5  # how far a pixel moves, in normalised units
_LARGEST_EXPONENT = 80.0


def make(
    *,
    variant: Literal["a", "l"] = "a",
    low: float = 75.0,
    high: float = 85.0,
    feature_percent: float = 5.0,
    shift_percent: float = 1.0,
    shift_weight: float = 10.0,
    pixel_fraction: float = 0.05,
) -> ImageDetector:
    """score = logsumexp of the logits, scaled by ratio = sum relu(f) / sum of its largest k.

    The pixel channels to which the top logit is least sensitive move by half a unit up its
    gradient, which makes f' of the feature f. The larger

        Q = sum of relu(f'_i) over the largest k1 f_i + shift_weight * sum of |f_i - f'_i| over k2

    is among those of the validation images (F, their right-continuous distribution function), the
    lower the percentile and hence the larger k = D - round(D * percentile / 100):
    percentile = low + (1 - F(Q)) * (high - low).

    Args:
      variant: what is scaled: "a" multiplies the features by exp(ratio), "l" the logits by
        ratio**2.
      low, high: range of the percentile, 0 < low <= high < 100; OpenOOD searches every pair of
        60, 65, ..., 95, 99.
      feature_percent: number k1 of features in percent of D, rounded down.
      shift_percent: number k2 of shifts in percent of D, rounded down.
      shift_weight: weight lambda of the shifts.
      pixel_fraction: share o of the pixel channels that move. Those without a gradient count but
        stay; equals of the last one all move (the original picks among them as its sort happens
        to).

    State: Q of the validation images (N,), ascending; of at most 5,000 of them, drawn at random.
    Where the original divides by zero, 1 stands in: for k when the percentile leaves no feature,
    for the ratio of a row without a positive feature. The exponent stops at 80, before float32
    overflows.

    Raises:
      InputError: an unknown variant or a percentile or percentage out of its range.
    """
    if variant not in ("a", "l"):
        raise InputError(f"adascale: variant must be 'a' or 'l', got {variant!r}")
    if not 0 < low <= high < 100:
        raise InputError(f"adascale: need 0 < low <= high < 100, got low={low}, high={high}")
    for name, percent in (("feature_percent", feature_percent), ("shift_percent", shift_percent)):
        if not 0 <= percent <= 100:
            raise InputError(f"adascale: {name} must lie in [0, 100], got {percent}")
    non_negative(shift_weight=shift_weight)
    fraction(pixel_fraction=pixel_fraction)

    def measure(network: Network, pixels: jax.Array) -> jax.Array:
        return _probe(network, pixels)[1]

    def fit(measured: np.ndarray | None) -> np.ndarray:
        if measured is None or len(measured) == 0:
            raise InputError("adascale.fit: needs held-out ID images, got none")
        measured = np.asarray(measured)
        broken = np.count_nonzero(~np.isfinite(measured))
        if broken:
            raise InputError(
                f"adascale.fit: {broken} of {len(measured)} validation images gave NaN or "
                "infinity; the network or its input broke"
            )
        return np.sort(measured)

    def score(state: np.ndarray, network: Network, pixels: jax.Array) -> jax.Array:
        features, q = _probe(network, pixels)
        kept = _kept(len(state), features.shape[1], low, high)  # (N + 1,), static
        k = jnp.asarray(kept)[jnp.searchsorted(jnp.asarray(state), q, side="right")]  # (B,)
        positive = jax.nn.relu(features)
        top = lax.top_k(positive, int(kept.max()))[0]
        top = jnp.sum(jnp.where(jnp.arange(top.shape[1])[None] < k[:, None], top, 0), axis=1)
        ratio = jnp.where(top > 0, positive.sum(axis=1) / jnp.where(top > 0, top, 1), 1)[:, None]
        kernel, bias = (jnp.asarray(w) for w in network.head)
        if variant == "a":
            gain = jnp.exp(jnp.minimum(ratio, _LARGEST_EXPONENT))
            logits = matmul(features * gain, kernel) + bias[None]
        else:
            logits = (matmul(features, kernel) + bias[None]) * ratio**2
        return jax.nn.logsumexp(logits, axis=1)

    def _probe(network: Network, pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
        """f (B, D) and Q (B,)."""

        def top_logit(pixels):  # summed: the rows do not meet, so neither do their gradients
            features, logits = network.forward(pixels)
            predicted = jnp.argmax(logits, axis=-1, keepdims=True)
            return jnp.sum(jnp.take_along_axis(logits, predicted, axis=-1)), features

        gradient, features = jax.grad(top_logit, has_aux=True)(pixels)
        rows = gradient.reshape(len(gradient), -1)
        smallest = _smallest(jnp.abs(rows), int(rows.shape[1] * pixel_fraction))
        step = jnp.where(smallest, _STEP * jnp.sign(rows), 0).reshape(pixels.shape)
        perturbed, _ = network.forward(pixels + step)
        k1, k2 = (int(features.shape[1] * p / 100) for p in (feature_percent, shift_percent))
        largest = lax.top_k(features, max(k1, k2))[1]

        def total(values, count):
            return jnp.take_along_axis(values, largest[:, :count], axis=1).sum(axis=1)

        shift = jnp.abs(features - perturbed)
        return features, total(jax.nn.relu(perturbed), k1) + shift_weight * total(shift, k2)

    needs = frozenset(("head", "logits", "val"))
    return ImageDetector(measure, fit, score, needs, maximum_val=5000)


def _kept(n: int, width: int, low: float, high: float) -> np.ndarray:
    """k for every number of validation images, 0 to n, that Q reaches: (n + 1,) int32.

    In float64 as the original, so that the rounding to a whole number of features agrees.
    """
    share = np.concatenate([[0.0], np.linspace(1 / n, 1, n)])
    percentile = low + (1 - share) * (high - low)
    return np.maximum(width - np.rint(width * percentile / 100), 1).astype(np.int32)


def _smallest(sizes: jax.Array, k: int) -> jax.Array:
    """Which entries of each row of `sizes` (B, n) >= 0 are at most its k-th smallest; k <= n.

    Non-negative floats are ordered as their bits are, so the k-th smallest is found bit by bit:
    one pass of counting each, 16 times faster on a CPU than sorting an ImageNet image's 150,528.
    With k = 0 only zeros are chosen.
    """
    sizes = sizes.astype(working_dtype(sizes.dtype))
    width = sizes.dtype.itemsize * 8
    bits = lax.bitcast_convert_type(sizes, jnp.dtype(f"uint{width}"))

    def refine(i, bound):  # the largest number that fewer than k entries are below
        higher = bound | (jnp.ones_like(bound) << (width - 1 - i).astype(bound.dtype))
        return jnp.where(jnp.sum(bits < higher, axis=1, keepdims=True) < k, higher, bound)

    bound = lax.fori_loop(0, width, refine, jnp.zeros((len(bits), 1), bits.dtype))
    return bits <= bound
