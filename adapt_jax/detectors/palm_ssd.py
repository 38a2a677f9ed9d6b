"""PALM's own score: one Gaussian on standardised unit features, centred twice.

Paper: Learning with Mixture of Prototypes for Out-of-Distribution Detection (ICLR 2024),
https://arxiv.org/abs/2402.02653. Code: https://github.com/jeff024/PALM.

In the style of SSD+ (Sehwag et al. 2021). With mu, sd the mean and population deviation of the unit
training features and x' = (x - mu) / (sd + 1e-10), the code scores

    -(x' - mu)^T pinv(cov(x')) (x' - mu)

Differs from the paper: mu is subtracted a second time, from data that already have mean zero. The
published numbers contain it, so it is kept under PALM's name.
"""

import jax
import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import l2_normalize, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of

_BLOCK = 512
_FLOOR = 1e-10
_CUTOFF = 1e-15  # numpy.linalg.pinv's default, relative to the largest


def make() -> Detector:
    """PALM's score, which has no hyper-parameters and needs no labels.

    State: `core.gaussian.Gaussians`, one of them. `fit` raises InputError when all unit training
    features are identical.
    """

    def fit(train: Outputs, val=None, head=None) -> gaussian.Gaussians:
        features = features_of(train, "palm_ssd.fit")
        one = np.zeros(len(features), np.int64)
        of = gaussian.moments(features, one, 1, normalize=True)
        mean, cov = of.means[0], of.scatter / len(features)
        deviation = np.sqrt(np.diag(cov))
        if of.constant():
            raise InputError("palm_ssd.fit: all training features point in the same direction")
        scale = 1.0 / (deviation + _FLOOR)
        # cov(x') = S cov S, and x' - mu = S (x - mu - mu / S): centre and scale fold into one map.
        whiten = scale[:, None] * gaussian.whitening(scale[:, None] * cov * scale, _CUTOFF)
        whiten[deviation == 0] = 0.0  # exactly what pinv makes of a dead channel
        center = mean + mean / scale
        dtype = working_dtype(features.dtype)
        return gaussian.gaussians(center[None], center, whiten, dtype)

    def score(state: gaussian.Gaussians, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "palm_ssd.score", width=len(state.center))
        return map_rows(lambda rows: _score(rows, state), features, _BLOCK)

    return Detector(fit, score)


@jax.jit
def _score(rows: jax.Array, model: gaussian.Gaussians) -> jax.Array:
    return -gaussian.nearest_squared_distance(l2_normalize(rows), model)
