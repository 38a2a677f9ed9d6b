"""SupCon: supervised contrastive learning (Khosla et al. 2020); SimCLR where labels are dropped.

Papers: Supervised Contrastive Learning (NeurIPS 2020), https://arxiv.org/abs/2004.11362; A Simple
Framework for Contrastive Learning of Visual Representations (SimCLR, ICML 2020),
https://arxiv.org/abs/2002.05709. Code: https://github.com/HobbitLong/SupContrast, as shipped in
https://github.com/deeplearning-wisc/cider.

As in the code, the loss is that of Eq. 2 of the paper times temperature / base_temperature.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from adapt_jax.core import checks, views
from adapt_jax.core.arrays import matmul
from adapt_jax.methods.base import Method


def make(
    *,
    num_classes: int | None = None,
    feature_dim: int | None = None,
    temperature: float = 0.1,
    base_temperature: float = 0.07,
    contrast_mode: Literal["all", "one"] = "all",
    use_labels: bool = True,
) -> Method:
    """SupCon with CIDER's temperature; keeps no state, has no metrics of its own.

    Args:
      num_classes: number of classes; not used, but accepted by every method.
      feature_dim: width of the embeddings; not used, but accepted by every method.
      temperature: temperature that the similarities are divided by.
      base_temperature: divisor of the factor temperature / base_temperature of the loss.
      contrast_mode: which rows are anchors: "all", or "one" for those of the first view.
      use_labels: whether images of one class attract each other. False makes each image its own
        class, which is SimCLR's NT-Xent and needs no labels.

    An anchor without any positive (one view and a class seen once) is left out of the mean, where
    the official code gives NaN; without any anchor left the loss is 0.

    Raises:
      ValueError: a value out of its range.
    """
    del num_classes, feature_dim
    checks.positive(temperature=temperature, base_temperature=base_temperature)
    if contrast_mode not in ("all", "one"):
        raise ValueError(f'contrast_mode must be "all" or "one", got {contrast_mode!r}')

    def init(key: jax.Array) -> tuple[()]:
        del key
        return ()

    def loss(embeddings, labels, state):
        """Embeddings (V, B, D) unit rows, labels (B,) -> loss (), (state, {})."""
        batch = embeddings.shape[1]
        classes = labels if use_labels else jnp.arange(batch)
        features, classes = views.flatten(embeddings, classes)
        anchors = len(features) if contrast_mode == "all" else batch
        logits = matmul(features[:anchors], features.T) / temperature  # (A, N)
        other = jnp.arange(anchors)[:, None] != jnp.arange(len(features))[None, :]
        positive = (classes[:anchors, None] == classes[None, :]) & other
        everything = jax.nn.logsumexp(logits, axis=1, where=other)  # (A,)
        count = jnp.sum(positive, axis=1)
        mean = jnp.sum(jnp.where(positive, logits, 0.0), axis=1) / jnp.maximum(count, 1)
        per_anchor = jnp.where(count > 0, everything - mean, 0.0)
        value = jnp.sum(per_anchor) / jnp.maximum(jnp.sum(count > 0), 1)
        return temperature / base_temperature * value, (state, {})

    return Method(init, loss, label_kind="labels" if use_labels else "indices")
