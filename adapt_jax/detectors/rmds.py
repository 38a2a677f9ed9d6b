"""Relative Mahalanobis distance (Ren et al. 2021).

Paper: A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection (arXiv 2021),
https://arxiv.org/abs/2106.09022. Code: https://github.com/Jingkang50/OpenOOD.

As OpenOOD's `rmds`: covariances with divisor N, pseudo-inverses by scipy.linalg.pinvh's
rule, raw features. On unit features it is the leaderboard's RMDS++.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.core.blocks import map_rows
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, labels_of

_BLOCK = 512


class Relative(NamedTuple):
    """The C Gaussians of the classes and the one of all images."""

    classes: gaussian.Gaussians
    background: gaussian.Gaussians


def make(*, normalize: bool = False) -> Detector:
    """score = -min_c (f - mu_c)^T P (f - mu_c) + (f - mu)^T P_0 (f - mu).

    P is the pseudo-inverse of the covariance around the class means, P_0 around the mean of all.

    Args:
      normalize: whether to scale features to unit length first.

    State: `Relative`. Needs labels; `fit` raises InputError when they are missing, when a class has
    no image, or when all features of every class are identical.
    """

    def fit(train: Outputs, val=None, head=None) -> Relative:
        features = features_of(train, "rmds.fit")
        labels, classes = labels_of(train, "rmds.fit")
        of = gaussian.moments(features, labels, classes, normalize)
        return Relative(
            gaussian.pooled(of, "rmds.fit", features.dtype),
            gaussian.pooled(of.together(), "rmds.fit", features.dtype),
        )

    def score(state: Relative, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "rmds.score", width=len(state.background.center))
        return map_rows(partial(_score, model=state, normalize=normalize), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["labels"]), minimum_images=2)


@partial(jax.jit, static_argnames="normalize")
def _score(rows: jax.Array, model: Relative, normalize: bool) -> jax.Array:
    if normalize:
        rows = l2_normalize(rows)
    background = gaussian.nearest_squared_distance(rows, model.background)
    return background - gaussian.nearest_squared_distance(rows, model.classes)
