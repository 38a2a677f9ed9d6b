"""KL matching: distance of the softmax to its mean per predicted class (Hendrycks et al. 2022).

Paper: Scaling Out-of-Distribution Detection for Real-World Settings (ICML 2022),
https://arxiv.org/abs/1911.11132. Code: https://github.com/Jingkang50/OpenOOD.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import matmul, on_device, working_dtype
from adapt_jax.core.blocks import map_rows
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import logits_of, val_of

_HOST_ROWS = 8192  # rows held in float64 at a time
_BLOCK = 512
_TINY = np.finfo(np.float64).tiny


class Typical(NamedTuple):
    """The mean softmax q_k of the validation images predicted as class k.

    log_means (C, C): row k is log q_k, zeros where no image was predicted as k;
    unseen (C,) bool: those classes.
    """

    log_means: jax.Array
    unseen: jax.Array


def make() -> Detector:
    """score = -min_k KL(p, q_k). Needs logits and val, whose labels are not read.

    Where no validation image was predicted as k, q_k is one-hot, as in the original: infinitely far
    from every p but an equal one. The other q_k are averaged in float64 and never zero, so scores
    stay finite where the original divides by an underflown probability.

    State: `Typical`. `fit` raises InputError when val or its logits are missing.
    """

    def fit(train: Outputs, val: Outputs | None = None, head=None) -> Typical:
        logits = logits_of(val_of(val, "klm.fit"), "klm.fit")
        dtype = working_dtype(logits.dtype)
        predicted = np.argmax(logits, axis=1)
        sums = np.zeros((logits.shape[1],) * 2)
        for start in range(0, len(logits), _HOST_ROWS):
            p = logits[start : start + _HOST_ROWS].astype(np.float64)
            p = np.exp(p - p.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            np.add.at(sums, predicted[start : start + _HOST_ROWS], p)
        counts = np.bincount(predicted, minlength=len(sums))
        log_means = np.log(np.maximum(sums / np.maximum(counts, 1)[:, None], _TINY))
        log_means[counts == 0] = 0.0
        return Typical(on_device(log_means, dtype), on_device(counts == 0))

    def score(state: Typical, outputs: Outputs) -> np.ndarray:
        logits = logits_of(outputs, "klm.score", classes=len(state.unseen))
        return map_rows(lambda rows: _score(rows, state), logits, _BLOCK)

    return Detector(fit, score, needs=frozenset(["logits", "val"]))


@jax.jit
def _score(logits: jax.Array, typical: Typical) -> jax.Array:
    log_p = jax.nn.log_softmax(logits, axis=1)
    p = jnp.exp(log_p)
    negentropy = jnp.sum(p * log_p, axis=1, keepdims=True)
    divergence = negentropy - matmul(p, typical.log_means.T)  # (N, C)
    one_hot = jnp.sum(p > 0, axis=1, keepdims=True) == 1
    unseen = jnp.where(one_hot & (p > 0), 0.0, jnp.inf)
    return -jnp.min(jnp.where(typical.unseen[None], unseen, divergence), axis=1)
