"""PALM: learning with a mixture of prototypes (ICLR 2024).

Paper: Learning with Mixture of Prototypes for Out-of-Distribution Detection (ICLR 2024),
https://arxiv.org/abs/2402.02653. Code: https://github.com/jeff024/PALM.

This is the algorithm as the authors' training script executes it. It is ADAPT's predecessor, with
the same assignment, selection and moving average. It differs in three points: each prototype
receives a weighted *mean* of its samples, logits enter the sample loss unchanged, and the prototype
contrast has a fixed temperature.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core import assignment, checks, prototypes, views
from adapt_jax.core.arrays import NORM_FLOOR, l1_normalize, matmul
from adapt_jax.methods.base import Method

CONTRAST_TEMPERATURE = 0.5  # fixed in the official code


class PalmState(NamedTuple):
    """prototypes (K, C, D) float32, unit rows."""

    prototypes: jax.Array


def make(
    *,
    num_classes: int,
    feature_dim: int,
    cache_size: int = 6,
    top_k: int = 5,
    temperature: float = 0.1,
    proto_momentum: float = 0.999,
    lambda_pcon: float = 1.0,
    sinkhorn_epsilon: float = 0.05,
    sinkhorn_iterations: int = 3,
) -> Method:
    """PALM with the defaults of its published run; arguments as in `adapt.make`.

    Metrics: `mle`, `proto_contra` (times lambda_pcon).

    Raises:
      ValueError: a value out of its range.
    """
    prototypes.check_sizes(num_classes, cache_size, feature_dim)
    checks.positive_int(sinkhorn_iterations=sinkhorn_iterations)
    checks.positive(temperature=temperature, sinkhorn_epsilon=sinkhorn_epsilon)
    checks.non_negative(top_k=top_k, lambda_pcon=lambda_pcon)
    checks.fraction(proto_momentum=proto_momentum)
    sinkhorn = (sinkhorn_epsilon, sinkhorn_iterations)

    def init(key: jax.Array) -> PalmState:
        return PalmState(prototypes.init_uniform(key, cache_size, num_classes, feature_dim))

    def per_prototype_mean(weights, labels):
        """Rescales weights (N, K) so that those each prototype receives sum to 1."""
        one_hot = jax.nn.one_hot(labels, num_classes, dtype=weights.dtype)  # (N, C)
        received = matmul(one_hot, matmul(one_hot.T, weights))  # (N, K): sum over the own class
        return weights / jnp.maximum(received, NORM_FLOOR)

    def loss(embeddings, labels, state):
        """Embeddings (V, B, D) unit rows, labels (B,) -> loss (), (PalmState, metrics)."""
        features, labels = views.flatten(embeddings, labels)
        old = jax.lax.stop_gradient(state.prototypes)

        before = prototypes.own_assignment(features, labels, old, *sinkhorn)  # (N, K)
        kept, weights = prototypes.select(before, top_k)
        weights = per_prototype_mean(weights, labels)
        update = prototypes.weighted_sums(weights, features, labels, num_classes)  # (K, C, D)
        new = prototypes.moving_average(old, update, proto_momentum)

        after = prototypes.own_assignment(features, labels, new, *sinkhorn)
        positive_weights = l1_normalize(jnp.where(kept, after, 0.0))
        fixed = jax.lax.stop_gradient(new)
        logits = prototypes.similarities(features, fixed) / temperature  # (N, K, C)
        positive = jnp.sum(positive_weights * assignment.own_columns(logits, labels), axis=1)
        mle = jnp.mean(jax.nn.logsumexp(logits, axis=(1, 2)) - positive)

        proto_contra = jnp.zeros_like(mle)
        if lambda_pcon > 0:
            proto_contra = lambda_pcon * prototypes.contrast(new, CONTRAST_TEMPERATURE)

        metrics = {"mle": mle, "proto_contra": proto_contra}
        kept_state = prototypes.keep_if_finite(new, state.prototypes, features)
        return mle + proto_contra, (PalmState(kept_state), metrics)

    return Method(init, loss)
