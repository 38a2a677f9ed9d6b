"""Distance to the k-th nearest training feature (Sun et al. 2022).

Paper: Out-of-Distribution Detection with Deep Nearest Neighbors (ICML 2022),
https://arxiv.org/abs/2204.06507. Code: https://github.com/deeplearning-wisc/knn-ood.

Exact, as the flat L2 index in Jingkang50/OpenOOD, deeplearning-wisc/cider and JINHYUKSUH/ADAPT.
"""

from functools import partial

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from adapt_jax.core.arrays import l2_normalize
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import positive_int
from adapt_jax.core.errors import InputError
from adapt_jax.core.neighbours import Bank, kth_squared_distance, make_bank
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of

_BLOCK = 256


def make(*, k: int = 50, normalize: bool = True, sharded: bool = False) -> Detector:
    """score = minus the squared Euclidean distance to the k-th nearest training feature.

    Args:
      k: which neighbour, counted from 1. OpenOOD uses 50, ADAPT 300, CIDER 100 (CIFAR-10) or 300.
      normalize: whether to scale features to unit length first; the score is then 2 cos - 2. An
        all-zero feature stays zero, so its distance to every other one is 1 (the original gives
        NaN).
      sharded: whether to split the bank over all devices, of all processes; ImageNet's 1.3 million
        features need 10 GB at 2048 dimensions. All processes then have to score together.

    State: `core.neighbours.Bank` of the whole training set. `fit` raises InputError when k exceeds
    its size (the original then fills in the largest float).
    """
    positive_int(k=k)

    def fit(train: Outputs, val=None, head=None) -> Bank:
        features = features_of(train, "knn.fit")
        if k > len(features):
            raise InputError(
                f"knn.fit: k={k} exceeds the bank of {len(features)} training features; "
                "lower k or fit on more images"
            )
        return make_bank(features, normalize=normalize, mesh=_mesh(sharded))

    def score(state: Bank, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "knn.score", width=len(state.center))
        choices = {"k": k, "normalize": normalize, "mesh": _mesh(sharded)}
        return map_rows(partial(_score, bank=state, **choices), features, _BLOCK)

    return Detector(fit, score, minimum_images=k)


def _mesh(sharded: bool) -> Mesh | None:
    if not sharded:
        return None
    return Mesh(np.asarray(jax.devices()), ("bank",), axis_types=(AxisType.Auto,))


@partial(jax.jit, static_argnames=("k", "normalize", "mesh"))
def _score(rows: jax.Array, bank: Bank, k: int, normalize: bool, mesh: Mesh | None) -> jax.Array:
    return -kth_squared_distance(l2_normalize(rows) if normalize else rows, bank, k, mesh)
