"""CIDER: hyperspherical embeddings by compactness and dispersion (ICLR 2023).

Paper: How to Exploit Hyperspherical Embeddings for Out-of-Distribution Detection? (ICLR 2023),
https://arxiv.org/abs/2203.04450. Code: https://github.com/deeplearning-wisc/cider.

One prototype per class follows its samples by a moving average that is normalised after every
single sample, in row order. The dispersion loss differentiates through all of these updates, and
this gradient is not small; only the stored prototypes carry no gradient.

Two base temperatures, as in the code: 0.07 in the compactness, 0.1 in the dispersion.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core import checks, sequential, views
from adapt_jax.core.arrays import l2_normalize, matmul
from adapt_jax.core.prototypes import keep_if_finite
from adapt_jax.methods.base import Method

COMPACTNESS_BASE = 0.07
DISPERSION_BASE = 0.1


class CiderState(NamedTuple):
    """prototypes (C, D) float32, unit rows."""

    prototypes: jax.Array


def make(
    *,
    num_classes: int,
    feature_dim: int,
    temperature: float = 0.1,
    proto_momentum: float = 0.5,
    weight: float = 1.0,
) -> Method:
    """CIDER with the values of its CIFAR-100 script (CIFAR-10: proto_momentum 0.95, weight 2).

    Args:
      num_classes: number of classes C, at least 2.
      feature_dim: width D of the embeddings.
      temperature: temperature of both losses.
      proto_momentum: momentum of the per-sample moving average.
      weight: weight of the compactness loss.

    Metrics: `compactness` (before `weight`), `dispersion`.

    Raises:
      ValueError: a value out of its range.
    """
    checks.positive_int(num_classes=num_classes, feature_dim=feature_dim)
    checks.positive(temperature=temperature)
    checks.fraction(proto_momentum=proto_momentum)
    checks.non_negative(weight=weight)
    if num_classes < 2:
        raise ValueError(
            "num_classes must be at least 2: one prototype has nothing to disperse from"
        )

    def init(key: jax.Array) -> CiderState:
        """Random directions, which `start` replaces where it is called."""
        raw = jax.random.normal(key, (num_classes, feature_dim))
        return CiderState(l2_normalize(raw))

    def start(state: CiderState, embeddings: jax.Array, labels: jax.Array) -> CiderState:
        """The official start: class means of the untrained network's embeddings."""
        means = class_means(embeddings, labels, num_classes).prototypes
        return CiderState(means.astype(state.prototypes.dtype))

    def disperse(protos):
        logits = matmul(protos, protos.T) / temperature  # (C, C)
        other = ~jnp.eye(num_classes, dtype=bool)
        mean = jax.nn.logsumexp(logits, axis=1, where=other) - jnp.log(num_classes - 1.0)
        return temperature / DISPERSION_BASE * jnp.mean(mean)

    def compact(features, labels, protos):
        logits = matmul(features, protos.T) / temperature  # (N, C)
        own = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return temperature / COMPACTNESS_BASE * jnp.mean(jax.nn.logsumexp(logits, axis=1) - own)

    def loss(embeddings, labels, state):
        """Embeddings (V, B, D) unit rows, labels (B,) -> loss (), (CiderState, metrics)."""
        features, labels = views.flatten(embeddings, labels)
        old = jax.lax.stop_gradient(state.prototypes)
        new = sequential.moving_average(old, features, labels, proto_momentum)
        dispersion = disperse(new)
        compactness = compact(features, labels, jax.lax.stop_gradient(new))
        metrics = {"compactness": compactness, "dispersion": dispersion}
        kept = keep_if_finite(new, state.prototypes, features)
        return weight * compactness + dispersion, (CiderState(kept), metrics)

    return Method(init, loss, start=start)


def class_means(embeddings: jax.Array, labels: jax.Array, num_classes: int) -> CiderState:
    """CIDER's official start: unit class means of the untrained network's embeddings.

    Args:
      embeddings: (N, D) unit rows of the un-augmented training set.
      labels: integers (N,); a class without an image gets a zero row, which its first sample
        replaces.
      num_classes: number of classes C.
    """
    one_hot = jax.nn.one_hot(labels, num_classes, dtype=embeddings.dtype)
    count = jnp.maximum(jnp.sum(one_hot, axis=0), 1.0)
    return CiderState(l2_normalize(matmul(one_hot.T, embeddings) / count[:, None]))
