"""Softmax cross-entropy: the baseline every post-hoc detector starts from.

With normalised features (`model.feature_norm`) it is T2FNorm: Train-time Feature Normalization for
OOD Detection in Image Classification (CVPR Workshops 2024), https://arxiv.org/abs/2305.17797. Code:
https://github.com/sudarshanregmi/T2FNorm.
"""

import jax
import jax.numpy as jnp
import optax

from adapt_jax.core import checks, views
from adapt_jax.methods.base import Method


def make(
    *, num_classes: int, feature_dim: int | None = None, label_smoothing: float = 0.0
) -> Method:
    """Cross-entropy of a linear classifier; reads logits, keeps no state.

    Args:
      num_classes: number of classes C.
      feature_dim: width of the features; not used, but accepted by every method.
      label_smoothing: probability mass that is spread over all classes, in [0, 1].

    Metrics: `accuracy`, over all views.

    Raises:
      ValueError: a value out of its range.
    """
    del feature_dim
    checks.positive_int(num_classes=num_classes)
    checks.fraction(label_smoothing=label_smoothing)

    def init(key: jax.Array) -> tuple[()]:
        del key
        return ()

    def loss(logits, labels, state):
        """Logits (V, B, C), labels (B,) -> loss (), (state, metrics)."""
        logits, labels = views.flatten(logits, labels)
        one_hot = jax.nn.one_hot(labels, num_classes, dtype=logits.dtype)
        targets = optax.smooth_labels(one_hot, label_smoothing)
        value = jnp.mean(optax.softmax_cross_entropy(logits, targets))
        accuracy = jnp.mean((jnp.argmax(logits, axis=-1) == labels).astype(logits.dtype))
        return value, (state, {"accuracy": accuracy})

    return Method(init, loss, reads="logits")
