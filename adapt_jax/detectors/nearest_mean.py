"""Cosine to the nearest class (or cluster) mean: the cheapest score of a contrastive network."""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import l2_normalize, matmul, on_device, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, labels_of

_BLOCK = 512


def make() -> Detector:
    """score = max_c cos(f, mu_c), mu_c the mean of the unit features of class c. Needs labels.

    State: the directions of the means (C, D). A feature of zeros, and a class whose unit features
    cancel, have cosine 0 to everything.
    """

    def fit(train: Outputs, val=None, head=None) -> jax.Array:
        features = features_of(train, "nearest_mean.fit")
        labels, classes = labels_of(train, "nearest_mean.fit")
        directions = gaussian.class_directions(features, labels, classes)
        return on_device(directions, working_dtype(features.dtype))

    def score(state: jax.Array, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "nearest_mean.score", width=state.shape[1])
        return map_rows(lambda rows: _score(rows, state), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["labels"]))


@jax.jit
def _score(rows: jax.Array, directions: jax.Array) -> jax.Array:
    return jnp.max(matmul(l2_normalize(rows), directions.T), axis=1)
