"""SSD: Mahalanobis distance on unit features, one Gaussian or one per cluster (Sehwag et al. 2021).

Paper: SSD: A Unified Framework for Self-Supervised Outlier Detection (ICLR 2021),
https://arxiv.org/abs/2103.12051. Code: https://github.com/inspire-group/SSD.

With one Gaussian this is the authors' score: the code also standardises every channel first,
which a Mahalanobis distance does not notice. With several it differs: the code inverts each
cluster's own covariance, here all share the covariance around their means, because a cluster of
CIFAR-100 has fewer images than a ResNet has channels.
"""

import jax
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.core.blocks import map_rows
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, labels_of

_BLOCK = 512


def make(*, per_class: bool = False) -> Detector:
    """score = -min_c (f - mu_c)^T P (f - mu_c), f a unit feature, P the pseudo-inverse covariance.

    Args:
      per_class: whether to use one mean per label (class or cluster) instead of one mean of all,
        which needs no labels; True is `mahalanobis` with covariance="within".

    State: `core.gaussian.Gaussians`. `fit` raises InputError when labels are needed and missing, or
    all unit features around a mean are identical.
    """

    def fit(train: Outputs, val=None, head=None) -> gaussian.Gaussians:
        features = features_of(train, "ssd.fit")
        labels, count = np.zeros(len(features), np.int64), 1
        if per_class:
            labels, count = labels_of(train, "ssd.fit")
        of = gaussian.moments(features, labels, count, normalize=True)
        return gaussian.pooled(of, "ssd.fit", features.dtype)

    def score(state: gaussian.Gaussians, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "ssd.score", width=len(state.center))
        return map_rows(lambda rows: _score(rows, state), features, _BLOCK)

    return Detector(fit, score, needs=frozenset(["labels"] if per_class else []))


@jax.jit
def _score(rows: jax.Array, model: gaussian.Gaussians) -> jax.Array:
    return -gaussian.nearest_squared_distance(l2_normalize(rows), model)
