"""Residual networks (He et al. 2016) with the stem of CIFAR or of ImageNet.

"cifar": one 3x3 convolution, as in JINHYUKSUH/ADAPT, PALM and CIDER. "imagenet": a 7x7 convolution
of stride 2 and a 3x3 max-pool of stride 2, as in pytorch/vision, whose later blocks are the same:
a bottleneck's stride is on its 3x3 (their "v1.5"). Flax Linen modules; `factory.py` hides them.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from adapt_jax.core.arrays import l2_normalize
from adapt_jax.models.base import ModelOutputs
from adapt_jax.models.conv import Backward
from adapt_jax.models.heads import ProjectionHead
from adapt_jax.models.layers import BatchNorm, Conv, Linear, relu_of_sum
from adapt_jax.models.stages import STEM


class BasicBlock(nn.Module):
    """Two 3x3 convolutions."""

    width: int
    stride: int
    conv: Callable[..., Conv]
    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, Ho, Wo, width)."""
        conv1 = self.conv(self.width, 3, self.stride, name="conv1")
        y = BatchNorm(relu=True, name="bn1")(x, train, conv1)
        conv2 = self.conv(self.width, 3, name="conv2")
        y = BatchNorm(name="bn2")(y, train, conv2)
        return relu_of_sum(y, _shortcut(self, x, train))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 to four times the width."""

    width: int
    stride: int
    conv: Callable[..., Conv]
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, I) -> (N, Ho, Wo, 4 * width)."""
        conv1 = self.conv(self.width, 1, name="conv1")
        y = BatchNorm(relu=True, name="bn1")(x, train, conv1)
        conv2 = self.conv(self.width, 3, self.stride, name="conv2")
        y = BatchNorm(relu=True, name="bn2")(y, train, conv2)
        conv3 = self.conv(self.expansion * self.width, 1, name="conv3")
        y = BatchNorm(name="bn3")(y, train, conv3)
        return relu_of_sum(y, _shortcut(self, x, train))


def _shortcut(block, x, train):
    """The identity where shapes allow it, else a strided 1x1 convolution. Called inside a block."""
    channels = block.expansion * block.width
    if block.stride == 1 and x.shape[-1] == channels:
        return x
    conv = block.conv(channels, 1, block.stride, name="shortcut_conv")
    return BatchNorm(name="shortcut_bn")(x, train, conv)


class Encoder(nn.Module):
    """Stem, one to four stages (all but the first halve the image), global average.

    block: BasicBlock or Bottleneck. widths: of the stages; the stem has the first one's.
    blocks: per stage. remat: recompute each block in the backward pass instead of storing it.
    evaluating: stages whose batch normalisation uses its running statistics even in training.
    """

    block: type[BasicBlock] | type[Bottleneck]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    backward: Backward = Backward()
    remat: bool = False
    stem: Literal["cifar", "imagenet"] = "cifar"
    evaluating: frozenset[str] = frozenset()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, channels) -> (N, expansion * widths[-1]), at least float32."""
        conv = partial(Conv, backward=self.backward)
        block = nn.remat(self.block, static_argnums=(2,)) if self.remat else self.block
        large = self.stem == "imagenet"
        stem = conv(self.widths[0], 7 if large else 3, 2 if large else 1, name="conv1")
        moving = train and STEM not in self.evaluating
        x = BatchNorm(relu=True, name="bn1")(x, moving, stem)
        if large:
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for s, (width, count) in enumerate(zip(self.widths, self.blocks, strict=True)):
            moving = train and f"layer{s + 1}" not in self.evaluating
            for i in range(count):
                stride = 2 if s > 0 and i == 0 else 1
                x = block(width, stride, conv, name=f"layer{s + 1}_{i}")(x, moving)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if wide.dtype != x.dtype and jax.default_backend() == "cpu":
            # In jaxlib 0.11.2 and 0.12, XLA puts the last stage and this mean into one YNNPACK
            # kernel, which returns NaN, and other numbers from call to call.
            wide = jax.lax.optimization_barrier(wide)
        return jnp.mean(wide, axis=(1, 2))


class Network(nn.Module):
    """An encoder, then a projection head (`embedding_dim`) or a classifier (`num_classes`).

    feature_norm: None, or the temperature of T2FNorm (Regmi et al. 2024; Jingkang50/OpenOOD
    t2fnorm_net.py): in training the classifier reads unit features divided by it, in evaluation
    the features themselves divided by it. `features` come out as they are either way.
    """

    encoder: Callable[..., nn.Module]
    embedding_dim: int | None = None
    num_classes: int | None = None
    feature_norm: float | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> ModelOutputs:
        """(N, H, W, channels) -> ModelOutputs; the dtype of the images is that of the encoder."""
        features = self.encoder(name="encoder")(images, train)
        embeddings = logits = None
        if self.embedding_dim is not None:
            embeddings = ProjectionHead(self.embedding_dim, name="head")(features)
        if self.num_classes is not None:
            seen = features
            if self.feature_norm is not None:
                seen = (l2_normalize(features) if train else features) / self.feature_norm
            logits = Linear(self.num_classes, name="fc")(seen)
        return ModelOutputs(features, embeddings, logits)
