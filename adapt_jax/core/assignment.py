"""Soft assignment of samples to prototypes: Sinkhorn balancing and top-k, in log space.

Source: ADAPT (JINHYUKSUH/ADAPT) and PALM (jeff024/PALM), both after SwAV's Sinkhorn-Knopp step.
"""

from functools import partial

import jax
import jax.numpy as jnp

from adapt_jax.core.arrays import NORM_FLOOR


def sinkhorn(similarities: jax.Array, epsilon: float, iterations: int) -> jax.Array:
    """Balanced assignment of N samples to P prototypes.

    Alternately scales columns to 1/P and rows to 1/N, columns first, so every row of the result
    sums to 1. The official code divides sums floored at 1e-12 and overflows when
    `similarities / epsilon` exceeds 88; the same recursion in logarithms keeps the floors (they
    act when a prototype is antipodal to every sample) and cannot overflow.

    Args:
      similarities: (N, P) cosine similarities.
      epsilon: temperature of the assignment; a smaller value gives a harder assignment.
      iterations: number of Sinkhorn iterations, each of which scales columns, then rows.

    Returns:
      (N, P) non-negative, rows summing to 1. Carries no gradient.
    """
    return _balanced(jax.lax.stop_gradient(similarities), float(epsilon), iterations)


@partial(jax.jit, static_argnames=("epsilon", "iterations"))  # a step calls it twice, traced once
@jax.named_scope("sinkhorn")
def _balanced(similarities: jax.Array, epsilon: float, iterations: int) -> jax.Array:
    num_samples, num_prototypes = similarities.shape
    floor = jnp.log(jnp.asarray(NORM_FLOOR, similarities.dtype))
    log_q = similarities / epsilon
    log_q -= jax.nn.logsumexp(log_q)
    for _ in range(iterations):
        columns = jax.nn.logsumexp(log_q, axis=0, keepdims=True)  # (1, P)
        log_q -= jnp.maximum(columns, floor) + jnp.log(float(num_prototypes))
        rows = jax.nn.logsumexp(log_q, axis=1, keepdims=True)  # (N, 1)
        log_q -= jnp.maximum(rows, floor) + jnp.log(float(num_samples))
    return jnp.exp(log_q + jnp.log(float(num_samples)))


def own_columns(values: jax.Array, labels: jax.Array) -> jax.Array:
    """(N, K, C) values and (N,) labels -> (N, K): each row's entries of its own class."""
    return jnp.take_along_axis(values, labels[:, None, None], axis=2)[:, :, 0]


def top_k_mask(values: jax.Array, k: int) -> jax.Array:
    """(N, K) -> bool (N, K), True at each row's `min(k, K)` largest entries; k = 0 keeps all."""
    width = values.shape[1]
    if k == 0 or k >= width:
        return jnp.ones(values.shape, bool)
    _, largest = jax.lax.top_k(values, k)  # (N, k)
    return jax.nn.one_hot(largest, width, dtype=jnp.int8).sum(axis=1) > 0
