"""Residual networks (He et al. 2016) with the CIFAR stem, as in JINHYUKSUH/ADAPT, PALM and CIDER.

The stem is one 3x3 convolution without max-pool. Flax Linen modules; `factory.py` hides them.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from adapt_jax.models.base import ModelOutputs
from adapt_jax.models.conv import Backward
from adapt_jax.models.heads import ProjectionHead
from adapt_jax.models.layers import BatchNorm, Conv, Linear


class BasicBlock(nn.Module):
    """Two 3x3 convolutions."""

    width: int
    stride: int
    conv: Callable[..., nn.Module]
    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, Ho, Wo, width)."""
        y = self.conv(self.width, 3, self.stride, name="conv1")(x)
        y = nn.relu(BatchNorm(name="bn1")(y, train))
        y = self.conv(self.width, 3, name="conv2")(y)
        y = BatchNorm(name="bn2")(y, train)
        return nn.relu(y + _shortcut(self, x, train))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 to four times the width."""

    width: int
    stride: int
    conv: Callable[..., nn.Module]
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, Ho, Wo, 4 * width)."""
        y = self.conv(self.width, 1, name="conv1")(x)
        y = nn.relu(BatchNorm(name="bn1")(y, train))
        y = self.conv(self.width, 3, self.stride, name="conv2")(y)
        y = nn.relu(BatchNorm(name="bn2")(y, train))
        y = self.conv(self.expansion * self.width, 1, name="conv3")(y)
        y = BatchNorm(name="bn3")(y, train)
        return nn.relu(y + _shortcut(self, x, train))


def _shortcut(block, x, train):
    """The identity where shapes allow it, else a strided 1x1 convolution. Called inside a block."""
    channels = block.expansion * block.width
    if block.stride == 1 and x.shape[-1] == channels:
        return x
    x = block.conv(channels, 1, block.stride, name="shortcut_conv")(x)
    return BatchNorm(name="shortcut_bn")(x, train)


class Encoder(nn.Module):
    """Stem, four stages (the last three halve the image), global average.

    block: BasicBlock or Bottleneck. widths: of the four stages; the stem has the first one's.
    blocks: per stage. remat: recompute each block in the backward pass instead of storing it.
    """

    block: type[BasicBlock] | type[Bottleneck]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    backward: Backward = Backward()
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, channels) -> (N, expansion * widths[-1]), at least float32."""
        conv = partial(Conv, backward=self.backward)
        block = nn.remat(self.block, static_argnums=(2,)) if self.remat else self.block
        x = nn.relu(BatchNorm(name="bn1")(conv(self.widths[0], 3, name="conv1")(x), train))
        for s, (width, count) in enumerate(zip(self.widths, self.blocks, strict=True)):
            for i in range(count):
                stride = 2 if s > 0 and i == 0 else 1
                x = block(width, stride, conv, name=f"layer{s + 1}_{i}")(x, train)
        return jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), axis=(1, 2))


class Network(nn.Module):
    """An encoder, then a projection head (`embedding_dim`) or a classifier (`num_classes`)."""

    encoder: Callable[..., nn.Module]
    embedding_dim: int | None = None
    num_classes: int | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> ModelOutputs:
        """(N, H, W, channels) -> ModelOutputs; the dtype of the images is that of the encoder."""
        features = self.encoder(name="encoder")(images, train)
        embeddings = logits = None
        if self.embedding_dim is not None:
            embeddings = ProjectionHead(self.embedding_dim, name="head")(features)
        if self.num_classes is not None:
            logits = Linear(self.num_classes, name="fc")(features)
        return ModelOutputs(features, embeddings, logits)
