"""ADAPT: multi-prototype contrast with hard-negative weights and an alignment-scaled temperature.

Paper: Learning from hard negative samples: Multi-prototype contrastive learning for
out-of-distribution detection (2026). Code: https://github.com/JINHYUKSUH/ADAPT.

This is the algorithm as the authors' training script executes it. Each step assigns the batch to
the prototypes of its own classes (Sinkhorn, then top-k), moves these prototypes by a moving
average, and only then computes two losses against the moved prototypes:

* sample loss ("mle"): over logits softplus(z), z = f.m / temperature, the prototypes of other
  classes weighted by (softplus z)^beta, so that hard negatives count more;
* prototype contrast, at the temperature tau = 0.4 (1.5 - a), where a is the mean cosine between
  each prototype and the samples it just received: well aligned prototypes are pushed apart harder.

The optimiser does not train the prototypes. The sample loss does not differentiate through them;
the prototype contrast reaches the network through the moving average, scaled by
1 - proto_momentum.

Two surprising details of the official code are kept, because they decide the numbers:
samples and selection come from the assignment *before* the update while the positive weights come
from the one after it; and the moving average adds a weighted *sum* of samples, not a mean, so its
effective rate grows with batch size over number of prototypes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core import assignment, checks, prototypes, views
from adapt_jax.core.arrays import l1_normalize
from adapt_jax.methods.base import Method

# Fixed in the official code: tau = BASE * (1 + (STANDARD - alignment)).
TAU_BASE = 0.4
TAU_STANDARD = 0.5


class AdaptState(NamedTuple):
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
    beta: float = 0.15,
    lambda_pcon: float = 1.0,
    sinkhorn_epsilon: float = 0.05,
    sinkhorn_iterations: int = 3,
) -> Method:
    """ADAPT with the defaults of its training script.

    Args:
      num_classes: number of classes C.
      feature_dim: width D of the embeddings.
      cache_size: number of prototypes per class, K.
      top_k: number of prototypes of its own class that a sample is assigned to; at most
        `cache_size` are used, and 0 keeps all.
      temperature: temperature of the sample loss.
      proto_momentum: momentum of the prototypes' moving average.
      beta: exponent of the hard-negative weights; 0 weighs all negatives alike.
      lambda_pcon: weight of the prototype contrast; 0 leaves it out (prototypes still move).
      sinkhorn_epsilon: temperature of the Sinkhorn assignment; smaller is harder.
      sinkhorn_iterations: number of Sinkhorn iterations.

    Metrics: `mle`, `proto_contra` (times lambda_pcon), `alignment`, `tau`.

    Raises:
      ValueError: a value out of its range.
    """
    prototypes.check_sizes(num_classes, cache_size, feature_dim)
    checks.positive_int(sinkhorn_iterations=sinkhorn_iterations)
    checks.positive(temperature=temperature, sinkhorn_epsilon=sinkhorn_epsilon)
    checks.non_negative(top_k=top_k, beta=beta, lambda_pcon=lambda_pcon)
    checks.fraction(proto_momentum=proto_momentum)

    sinkhorn = (sinkhorn_epsilon, sinkhorn_iterations)

    def init(key: jax.Array) -> AdaptState:
        return AdaptState(prototypes.init_uniform(key, cache_size, num_classes, feature_dim))

    def sample_loss(features, labels, protos, positive_weights):
        scores = jax.nn.softplus(prototypes.similarities(features, protos) / temperature)
        positive = jnp.sum(positive_weights * assignment.own_columns(scores, labels), axis=1)
        hardness = jax.lax.stop_gradient((scores + 1e-10) ** beta)
        own = jax.nn.one_hot(labels, num_classes, dtype=bool)[:, None, :]  # (N, 1, C)
        weighted = jnp.where(own, scores, hardness * scores)
        return jnp.mean(jax.nn.logsumexp(weighted, axis=(1, 2)) - positive)

    def loss(embeddings, labels, state):
        """Embeddings (V, B, D) unit rows, labels (B,) -> loss (), (AdaptState, metrics)."""
        features, labels = views.flatten(embeddings, labels)  # (N, D), (N,)
        old = jax.lax.stop_gradient(state.prototypes)

        before = prototypes.own_assignment(features, labels, old, *sinkhorn)  # (N, K)
        kept, weights = prototypes.select(before, top_k)
        update = prototypes.weighted_sums(weights, features, labels, num_classes)  # (K, C, D)
        new = prototypes.moving_average(old, update, proto_momentum)

        after = prototypes.own_assignment(features, labels, new, *sinkhorn)
        positive_weights = l1_normalize(jnp.where(kept, after, 0.0))
        mle = sample_loss(features, labels, jax.lax.stop_gradient(new), positive_weights)

        alignment = mean_cosine(jax.lax.stop_gradient(update), old)
        tau = TAU_BASE * (1.0 + (TAU_STANDARD - alignment))
        proto_contra = jnp.zeros_like(mle)
        if lambda_pcon > 0:
            proto_contra = lambda_pcon * prototypes.contrast(new, tau)

        metrics = {"mle": mle, "proto_contra": proto_contra, "alignment": alignment, "tau": tau}
        kept_state = prototypes.keep_if_finite(new, state.prototypes, features)
        return mle + proto_contra, (AdaptState(kept_state), metrics)

    return Method(init, loss)


def mean_cosine(update: jax.Array, protos: jax.Array) -> jax.Array:
    """Mean over all K * C prototypes of cos(update, prototype); 0 where the update is 0.

    Both (K, C, D). Prototypes that received nothing count as 0 and so raise the temperature.
    """
    dot = jnp.sum(update * protos, axis=-1)
    norms = jnp.linalg.norm(update, axis=-1) * jnp.linalg.norm(protos, axis=-1)
    return jnp.mean(dot / jnp.maximum(norms, 1e-8))
