"""MSP, MLS, energy and GEN: scores of the logits alone. Code: https://github.com/Jingkang50/OpenOOD."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.blocks import map_rows
from adapt_jax.core.checks import positive, positive_int
from adapt_jax.detectors.base import Detector, Outputs
from adapt_jax.detectors.checks import logits_of

_LOG_ZERO = -103.97  # below it a float32 probability is 0, and counts for nothing
_BLOCK = 512


def msp() -> Detector:
    """score = max_c p_c, the largest softmax probability (Hendrycks and Gimpel 2017).

    Paper: A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks (ICLR 2017), https://arxiv.org/abs/1610.02136.

    As a probability it saturates: logits that lead the others by more than about 17 all score
    1.0 in float32. `energy` and `mls` do not.
    """
    return _detector("msp", partial(max_softmax, temperature=1.0))


def mls() -> Detector:
    """score = max_c l_c, the largest logit (Hendrycks et al. 2022).

    Paper: Scaling Out-of-Distribution Detection for Real-World Settings (ICML 2022),
    https://arxiv.org/abs/1911.11132.
    """
    return _detector("mls", _max_logit)


def energy(*, temperature: float = 1.0) -> Detector:
    """score = T logsumexp_c(l_c / T), minus the free energy (Liu et al. 2020).

    Paper: Energy-based Out-of-distribution Detection (NeurIPS 2020),
    https://arxiv.org/abs/2010.03759.

    Args:
      temperature: temperature T, above 0; towards 0 the score becomes that of `mls`.
    """
    positive(temperature=temperature)
    return _detector("energy", partial(_energy, temperature=temperature))


def gen(*, gamma: float = 0.1, top_m: int = 100) -> Detector:
    """score = -sum over the M largest p_c of (p_c (1 - p_c))^gamma (Liu et al. 2023).

    Paper: GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection (CVPR 2023),
    https://openaccess.thecvf.com/content/CVPR2023/papers/Liu_GEN_Pushing_the_Limits_of_Softmax-Based_Out-of-Distribution_Detection_CVPR_2023_paper.pdf

    In log space: the original loses 1 - p where p rounds to 1, and its scores of such rows are off
    by up to 1.2. Classes whose p underflows in float32 count for nothing, as in the original,
    although with a small gamma they would for much.

    Args:
      gamma: exponent, above 0.
      top_m: number M of classes that count; all of them when there are fewer.
    """
    positive(gamma=gamma)
    positive_int(top_m=top_m)
    return _detector("gen", partial(_gen, gamma=gamma, top_m=top_m))


def _detector(name: str, function: Callable[[jax.Array], jax.Array]) -> Detector:
    def fit(train: Outputs, val=None, head=None) -> tuple[()]:
        return ()

    def score(state: tuple[()], outputs: Outputs) -> np.ndarray:
        return map_rows(function, logits_of(outputs, f"{name}.score"), _BLOCK)

    return Detector(fit, score, needs=frozenset(["logits"]))


@jax.jit
def max_softmax(logits: jax.Array, temperature: jax.Array) -> jax.Array:
    """max_c softmax(l / T)_c: logits (N, C) -> (N,)."""
    lead = logits - jnp.max(logits, axis=1, keepdims=True)
    return 1.0 / jnp.sum(jnp.exp(lead / temperature), axis=1)


@jax.jit
def _max_logit(logits: jax.Array) -> jax.Array:
    return jnp.max(logits, axis=1)


@jax.jit
def _energy(logits: jax.Array, temperature: jax.Array) -> jax.Array:
    return temperature * jax.nn.logsumexp(logits / temperature, axis=1)


@partial(jax.jit, static_argnames="top_m")
def _gen(logits: jax.Array, gamma: jax.Array, top_m: int) -> jax.Array:
    first = jnp.arange(logits.shape[1])[None] == jnp.argmax(logits, axis=1, keepdims=True)
    top = jnp.max(logits, axis=1, keepdims=True)
    rest = jnp.where(first, -jnp.inf, logits)
    others = jax.nn.logsumexp(rest, axis=1, keepdims=True)
    odds = top - others  # log p/(1-p) of the top class, the only p that may be near 1
    log_top = jax.nn.log_sigmoid(odds) + jax.nn.log_sigmoid(-odds)
    if top_m < rest.shape[1]:
        rest = jax.lax.top_k(rest, top_m - 1)[0]
    log_p = rest - jnp.logaddexp(top, others)  # at most log 1/2
    log_rest = jnp.where(log_p < _LOG_ZERO, -jnp.inf, log_p + jnp.log1p(-jnp.exp(log_p)))
    return -jnp.sum(jnp.exp(gamma * jnp.concatenate([log_top, log_rest], axis=1)), axis=1)
