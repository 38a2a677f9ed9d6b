"""K unit prototypes for each of C classes: initialisation, moving average, mutual contrast.

Prototypes are (K, C, D); `reshape(-1, D)` gives the official order, in which prototype p belongs to
class p mod C. Source: JINHYUKSUH/ADAPT, jeff024/PALM.
"""

import jax
import jax.numpy as jnp

from adapt_jax.core import checks
from adapt_jax.core.arrays import l1_normalize, l2_normalize, matmul
from adapt_jax.core.assignment import own_columns, sinkhorn, top_k_mask


def init_uniform(key: jax.Array, per_class: int, num_classes: int, dim: int) -> jax.Array:
    """(K, C, D) unit rows drawn uniform in [0, 1) and normalised: all in the positive orthant."""
    return l2_normalize(jax.random.uniform(key, (per_class, num_classes, dim)))


def check_sizes(num_classes: int, cache_size: int, feature_dim: int) -> None:
    """Raises ValueError unless there are at least two prototypes, of at least one dimension."""
    checks.positive_int(num_classes=num_classes, cache_size=cache_size, feature_dim=feature_dim)
    if num_classes * cache_size < 2:
        raise ValueError(
            "num_classes * cache_size must be at least 2: one prototype has no contrast"
        )


def similarities(features: jax.Array, prototypes: jax.Array) -> jax.Array:
    """(N, D) features, (K, C, D) prototypes -> (N, K, C) inner products."""
    per_class, num_classes, dim = prototypes.shape
    flat = matmul(features, prototypes.reshape(-1, dim).T)
    return flat.reshape(-1, per_class, num_classes)


def own_assignment(features, labels, prototypes, epsilon: float, iterations: int) -> jax.Array:
    """How much of each sample goes to each prototype of its own class, in the balanced assignment.

    The assignment balances over all K * C prototypes, so a row sums to at most 1.

    Returns:
      (N, K) without gradient.
    """
    raw = similarities(features, prototypes)  # (N, K, C)
    balanced = sinkhorn(raw.reshape(len(features), -1), epsilon, iterations)
    return own_columns(balanced.reshape(raw.shape), labels)


def select(own: jax.Array, top_k: int) -> tuple[jax.Array, jax.Array]:
    """The mask (N, K) of each row's `top_k` prototypes, and its weights (N, K) summing to 1 there.

    A row whose kept mass is below 1e-12 keeps a tiny sum: such a sample stops pulling.
    """
    kept = top_k_mask(own, top_k)
    return kept, l1_normalize(jnp.where(kept, own, 0.0))


def weighted_sums(weights: jax.Array, features: jax.Array, labels: jax.Array, num_classes: int):
    """Samples summed into prototypes of their class: u[k, c] = sum over y_r = c of w[r, k] f_r.

    Args:
      weights: weight (N, K) of each sample for the prototypes of its own class.
      features: array (N, D).
      labels: integers (N,).
      num_classes: number of classes C.

    Returns:
      (K, C, D); exactly zero for prototypes no sample has weight on.
    """
    one_hot = jax.nn.one_hot(labels, num_classes, dtype=weights.dtype)  # (N, C)
    spread = weights[:, :, None] * one_hot[:, None, :]  # (N, K, C)
    num_samples, per_class, _ = spread.shape
    sums = matmul(spread.reshape(num_samples, -1).T, features)  # (K*C, D)
    return sums.reshape(per_class, num_classes, -1)


def moving_average(prototypes: jax.Array, update: jax.Array, momentum: float) -> jax.Array:
    """Unit rows of `momentum * prototypes + (1 - momentum) * update`, differentiable in both."""
    return l2_normalize(momentum * prototypes + (1.0 - momentum) * update)


def keep_if_finite(new: jax.Array, old: jax.Array, *evidence: jax.Array) -> jax.Array:
    """`new` without gradient, or `old` where `new` or any of `evidence` is not finite.

    Prototypes live across steps: one NaN batch would otherwise poison them for good.
    """
    fine = jnp.all(jnp.isfinite(new))
    for array in evidence:
        fine &= jnp.all(jnp.isfinite(array))
    return jax.lax.stop_gradient(jnp.where(fine, new, old))


def contrast(prototypes: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """Pulls prototypes of one class together and pushes all others apart.

    mean over i of  log sum_{j != i} exp(m_i.m_j / t)  -  mean_{j != i, same class} m_i.m_j / t.
    With one prototype per class there is no positive; the official code then keeps the row maximum
    it subtracted for stability (the self-similarity 1 / t) in the value, and so does this.

    Args:
      prototypes: (K, C, D) unit rows, K * C >= 2.
      temperature: temperature t, a scalar.

    Returns:
      () loss, differentiable in `prototypes`.
    """
    per_class, num_classes, dim = prototypes.shape
    flat = prototypes.reshape(-1, dim)  # (P, D)
    logits = matmul(flat, flat.T) / temperature  # (P, P)
    index = jnp.arange(flat.shape[0])
    other = index[:, None] != index[None, :]
    everything = jax.nn.logsumexp(logits, axis=1, where=other)  # (P,)
    if per_class == 1:
        return jnp.mean(everything - jax.lax.stop_gradient(jnp.max(logits, axis=1)))
    same = (index[:, None] % num_classes == index[None, :] % num_classes) & other
    positive = jnp.sum(jnp.where(same, logits, 0.0), axis=1) / (per_class - 1)
    return jnp.mean(everything - positive)
