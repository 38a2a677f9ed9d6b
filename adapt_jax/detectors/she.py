"""SHE: similarity to the stored pattern of the predicted class (Zhang et al. 2023).

Paper: Out-of-Distribution Detection based on In-Distribution Data Patterns Memorization with Modern
Hopfield Energy (ICLR 2023), https://openreview.net/forum?id=KkazG4lgKL.
Code: https://github.com/Jingkang50/OpenOOD.

A pattern is the mean feature of a class's correctly classified training images, as in
OpenOOD.
"""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import l2_normalize, on_device, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import one_of
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, labels_of, logits_of

Metric = Literal["inner_product", "cosine", "euclidean"]
_BLOCK = 512


def make(*, metric: Metric = "inner_product") -> Detector:
    """score = <f, pattern of the predicted class>, their cosine, or minus their distance.

    Args:
      metric: similarity: "inner_product" (the paper's), "cosine" or "euclidean". A feature of
        zeros has cosine and inner product 0.

    State: the patterns (C, D). Needs labels and logits; `fit` raises InputError when a class
    (named) has no correctly classified image: the original scores NaN wherever it is predicted.
    """
    one_of(get_args(Metric), metric=metric)

    def fit(train: Outputs, val=None, head=None) -> jax.Array:
        features = features_of(train, "she.fit")
        logits = logits_of(train, "she.fit")
        labels, classes = labels_of(train, "she.fit")
        correct = logits.argmax(axis=1) == labels
        missed = np.flatnonzero(np.bincount(labels[correct], minlength=classes) == 0)
        if missed.size:
            more = f" (and {missed.size - 1} more)" if missed.size > 1 else ""
            raise InputError(
                f"she.fit: class {missed[0]}{more} of {classes} has no correctly classified "
                "training image, so no pattern; train the classifier longer or drop the class"
            )
        # The misclassified go to a class of their own, which saves a copy of the rest.
        group = np.where(correct, labels, classes)
        patterns = gaussian.class_means(features, group, classes + 1)[:classes]
        return on_device(patterns, working_dtype(features.dtype))

    def score(state: jax.Array, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "she.score", width=state.shape[1])
        logits = logits_of(outputs, "she.score", classes=len(state))
        compare = partial(_score, patterns=state, metric=metric)
        return map_rows(compare, (features, logits), _BLOCK)

    return Detector(fit, score, needs=frozenset(["labels", "logits"]))


@partial(jax.jit, static_argnames="metric")
def _score(rows: tuple[jax.Array, jax.Array], patterns: jax.Array, metric: Metric) -> jax.Array:
    features, logits = rows
    own = patterns[jnp.argmax(logits, axis=1)]  # (B, D)
    if metric == "euclidean":
        return -jnp.linalg.norm(features - own, axis=1)
    if metric == "cosine":
        features, own = l2_normalize(features), l2_normalize(own)
    return jnp.sum(features * own, axis=1)
