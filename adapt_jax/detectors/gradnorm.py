"""GradNorm: size of the classifier's gradient towards the uniform label (Huang et al. 2021).

Paper: On the Importance of Gradients for Detecting Distributional Shifts in the Wild (NeurIPS
2021), https://arxiv.org/abs/2110.00218. Code: https://github.com/Jingkang50/OpenOOD.

The L1 norm of d CE(uniform, l) / d W is a product, since that gradient is an outer product of the
feature and C p - 1; no gradient is taken. Scale as in OpenOOD (targets of 1, not 1 / C).
"""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.blocks import map_rows
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import features_of, logits_of

_BLOCK = 512


def make() -> Detector:
    """score = sum_k |C p_k - 1| * |f|_1, p the softmax of the logits. No hyper-parameters.

    State: empty. Needs logits. A feature of zeros scores 0.
    """

    def fit(train: Outputs, val=None, head=None) -> tuple:
        return ()

    def score(state: tuple, outputs: Outputs) -> np.ndarray:
        features = features_of(outputs, "gradnorm.score")
        return map_rows(_score, (features, logits_of(outputs, "gradnorm.score")), _BLOCK)

    return Detector(fit, score, needs=frozenset(["logits"]))


@jax.jit
def _score(rows: tuple[jax.Array, jax.Array]) -> jax.Array:
    features, logits = rows
    excess = logits.shape[1] * jax.nn.softmax(logits, axis=1) - 1.0  # (B, C)
    return jnp.sum(jnp.abs(excess), axis=1) * jnp.sum(jnp.abs(features), axis=1)
