"""NCI: closeness of a centred feature to the weights of its class, and its size (Liu & Qin 2025).

Paper: Detecting Out-of-Distribution through the Lens of Neural Collapse (CVPR 2025),
https://arxiv.org/abs/2311.01479. Code: https://github.com/Jingkang50/OpenOOD.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import l2_normalize, on_device, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import non_negative
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, head_of, logits_of

_BLOCK = 512


class Weights(NamedTuple):
    """center (D,) of the training features and the weights (C, D) of the classes."""

    center: jax.Array
    weights: jax.Array


def make(*, alpha: float = 1e-4) -> Detector:
    """score = W_c . (f - mu) / |f - mu| + alpha |f|_1, c the predicted class.

    A feature equal to mu has no direction: its first term is 0 (the original gives NaN).

    Args:
      alpha: weight of the feature's size; OpenOOD searches 1e-4 to 1e-1.

    State: `Weights`. Needs the head and logits.
    """
    non_negative(alpha=alpha)

    def fit(train: Outputs, val=None, head=None) -> Weights:
        features = features_of(train, "nci.fit")
        kernel = head_of(head, "nci.fit", features.shape[1]).kernel
        center = gaussian.class_means(features, np.zeros(len(features), np.int64), 1)[0]
        dtype = working_dtype(features.dtype)
        return Weights(on_device(center, dtype), on_device(kernel.T, dtype))

    def score(state: Weights, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "nci.score", width=len(state.center))
        logits = logits_of(outputs, "nci.score", classes=len(state.weights))
        return map_rows(partial(_score, model=state, alpha=alpha), (features, logits), _BLOCK)

    return Detector(fit, score, needs=frozenset(["logits", "head"]))


@jax.jit
def _score(rows: tuple[jax.Array, jax.Array], model: Weights, alpha: float) -> jax.Array:
    features, logits = rows
    own = model.weights[jnp.argmax(logits, axis=1)]  # (B, D)
    direction = l2_normalize(features - model.center[None])
    return jnp.sum(own * direction, axis=1) + alpha * jnp.sum(jnp.abs(features), axis=1)
