"""Neural relation graph: how strongly an image is tied to the training set (Kim et al. 2023).

Paper: Neural Relation Graph: A Unified Framework for Identifying Label Noise and Outlier Data
(NeurIPS 2023), https://arxiv.org/abs/2301.12321. Code: https://github.com/Jingkang50/OpenOOD.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import l2_normalize, matmul, unit_rows
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import positive
from adapt_jax.core.neighbours import in_blocks
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, logits_of

_BLOCK = 256
_WEAKEST = 0.03  # relations up to this are not counted


class Graph(NamedTuple):
    """The training set in M blocks of S: unit features (M, S, D), probabilities (M, S, C).

    Both are zero in padding, which is thereby related to nothing.
    """

    features: jax.Array
    probabilities: jax.Array


def make(*, power: float = 1) -> Detector:
    """score = sum_i r_i^power over r_i > 0.03, r_i = max(0, cos(f, f_i)) <p, p_i>.

    The sum is over all training images, p is the softmax of the logits. A feature of zeros is
    related to nothing and scores 0.

    Args:
      power: exponent of the relations; 1 is OpenOOD's default, and it searches 1, 2, 4, 6, 8.

    State: `Graph`. Needs logits.
    """
    positive(power=power)

    def fit(train: Outputs, val=None, head=None) -> Graph:
        features = features_of(train, "relation.fit")
        logits = logits_of(train, "relation.fit")
        return Graph(
            in_blocks(features, lambda part, _: unit_rows(part)),
            in_blocks(logits, lambda part, _: _softmax(part)),
        )

    def score(state: Graph, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "relation.score", width=state.features.shape[-1])
        classes = state.probabilities.shape[-1]
        logits = logits_of(outputs, "relation.score", classes=classes)
        return map_rows(partial(_score, graph=state, power=power), (features, logits), _BLOCK)

    return Detector(fit, score, needs=frozenset(["logits"]))


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@partial(jax.jit, static_argnames="power")
def _score(rows: tuple[jax.Array, jax.Array], graph: Graph, power: float) -> jax.Array:
    features, logits = rows
    features, probabilities = l2_normalize(features), jax.nn.softmax(logits, axis=1)

    def add(total, block: Graph):
        cosine = jnp.maximum(matmul(features, block.features.T), 0.0)  # (B, S)
        relation = cosine * matmul(probabilities, block.probabilities.T)
        return total + jnp.sum(jnp.where(relation > _WEAKEST, relation**power, 0.0), axis=1), None

    start = jnp.zeros(features.shape[0], jnp.result_type(features, probabilities, *graph))
    return jax.lax.scan(add, start, graph)[0]
