"""NNGuide: energy guided by the nearest training features (Park et al. 2023).

Paper: Nearest Neighbor Guidance for Out-of-Distribution Detection (ICCV 2023),
https://arxiv.org/abs/2309.14888. Code: https://github.com/Jingkang50/OpenOOD.

Differs from OpenOOD in the bank: its code takes the first batches of the training set,
which in its lists is sorted by class, so that CIFAR-10's bank is 600 images of one class. Here the
bank is drawn at random; bank="first" restores theirs.
"""

import math
from functools import partial
from numbers import Integral
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import l2_normalize, on_device, unit_rows
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import one_of, positive_int
from adapt_jax.core.errors import InputError
from adapt_jax.core.neighbours import in_blocks, largest_products
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, logits_of

Choice = Literal["random", "first"]
_BLOCK = 256


class Guide(NamedTuple):
    """rows (M, S, D): unit features times their energy; penalty (M, S): infinite for padding."""

    rows: jax.Array
    penalty: jax.Array


def make(
    *,
    k: int = 100,
    alpha: float = 0.01,
    bank: Choice = "random",
    seed: int = 0,
    batch_size: int = 200,
) -> Detector:
    """score = E(f) * mean of the k largest <f, f_i> E(f_i), unit f and f_i, E = logsumexp(logits).

    A feature of zeros scores 0 (the original gives minus infinity).

    Args:
      k: number of neighbours.
      alpha: share of the training images that form the bank, in (0, 1]; 1 takes them all.
      bank: which images form the bank: "random" draws floor(alpha N) of them without replacement,
        "first" takes the first (floor(alpha N / batch_size) + 1) * batch_size, as OpenOOD does.
      seed: seed of the random bank.
      batch_size: batch size in the formula of the "first" bank; 200 is OpenOOD's.

    State: `Guide`. Needs logits; `fit` raises InputError when k exceeds the bank (the original then
    scores minus infinity everywhere).
    """
    positive_int(k=k, batch_size=batch_size)
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must lie in (0, 1], got {alpha!r}")
    one_of(get_args(Choice), bank=bank)
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")

    def fit(train: Outputs, val=None, head=None) -> Guide:
        features = features_of(train, "nnguide.fit")
        logits = logits_of(train, "nnguide.fit")
        count = len(features)
        size = int(alpha * count)
        if bank == "first":
            size = min((size // batch_size + 1) * batch_size, count)
        if k > size:
            raise InputError(
                f"nnguide.fit: k={k} exceeds the bank of {size} of the {count} training images; "
                "lower k, raise alpha or fit on more images"
            )
        if bank == "first" or size == count:
            features, logits = features[:size], logits[:size]
        else:
            drawn = np.random.default_rng(seed).choice(count, size, replace=False)
            features, logits = features[drawn], logits[drawn]
        energy = map_rows(_energy, logits, _BLOCK)[:, None]
        rows = in_blocks(features, lambda part, where: unit_rows(part) * energy[where])
        penalty = np.zeros(rows.shape[:2], rows.dtype)
        penalty.reshape(-1)[size:] = np.inf
        return Guide(rows, on_device(penalty))

    def score(state: Guide, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "nnguide.score", width=state.rows.shape[-1])
        logits = logits_of(outputs, "nnguide.score")
        return map_rows(partial(_score, guide=state, k=k), (features, logits), _BLOCK)

    needed = math.ceil(k / alpha) if bank == "random" else k
    return Detector(fit, score, needs=frozenset(["logits"]), minimum_images=needed)


@jax.jit
def _energy(logits: jax.Array) -> jax.Array:
    return jax.nn.logsumexp(logits, axis=1)


@partial(jax.jit, static_argnames="k")
def _score(rows: tuple[jax.Array, jax.Array], guide: Guide, k: int) -> jax.Array:
    features, logits = rows
    products, _ = largest_products(l2_normalize(features), guide.rows, guide.penalty, k)
    return jnp.mean(products, axis=1) * _energy(logits)
