"""Mahalanobis distance to the nearest class mean (Lee et al. 2018), two covariances.

Paper: A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks
(NeurIPS 2018), https://arxiv.org/abs/1807.03888. Code: https://github.com/Jingkang50/OpenOOD,
https://github.com/JINHYUKSUH/ADAPT, https://github.com/deeplearning-wisc/cider.

"total": covariance of all training features around the global mean, divisor N - 1, pseudo-inverse
cut at D * 2.2e-16 of the largest singular value (JINHYUKSUH/ADAPT and deeplearning-wisc/cider).
"within": covariance around the class means, divisor N, same cut (scipy.linalg.pinvh; Jingkang50/
OpenOOD `mds`, and with unit features sudarshanregmi/ReweightOOD).
"""

from functools import partial
from typing import Literal, get_args

import jax
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import one_of
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, labels_of

Covariance = Literal["total", "within"]
_BLOCK = 512


def make(*, normalize: bool = True, covariance: Covariance = "total") -> Detector:
    """score = -min_c (f - mu_c)^T P (f - mu_c), without the factor 1/2 some codes carry.

    Args:
      normalize: whether to scale features to unit length first, as ADAPT, CIDER and ReweightOOD
        do; OpenOOD's `mds` does not.
      covariance: covariance that P is the pseudo-inverse of, "total" or "within"; see the module.

    State: `core.gaussian.Gaussians`, C of them. Needs labels; `fit` raises InputError when they are
    missing, when a class has no image, or when all features of every class are identical.
    """
    one_of(get_args(Covariance), covariance=covariance)

    def fit(train: Outputs, val=None, head=None) -> gaussian.Gaussians:
        features = features_of(train, "mahalanobis.fit")
        labels, classes = labels_of(train, "mahalanobis.fit")
        if covariance == "total" and len(features) < 2:
            raise InputError("mahalanobis.fit: a covariance needs at least 2 training images")
        of = gaussian.moments(features, labels, classes, normalize)
        shared = gaussian.pooled if covariance == "within" else gaussian.total
        return shared(of, "mahalanobis.fit", features.dtype)

    def score(state: gaussian.Gaussians, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "mahalanobis.score", width=len(state.center))
        return map_rows(partial(_score, model=state, normalize=normalize), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["labels"]))


@partial(jax.jit, static_argnames="normalize")
def _score(rows: jax.Array, model: gaussian.Gaussians, normalize: bool) -> jax.Array:
    return -gaussian.nearest_squared_distance(l2_normalize(rows) if normalize else rows, model)
