"""EfficientNet (Tan and Le 2019, https://arxiv.org/abs/1905.11946), ALIGN's image tower.

As huggingface/transformers `AlignVisionModel` computes it: the first block of a stage adds no
input, and no convolution is behind the blocks. Batch normalisation uses stored statistics.
"""

import jax
import jax.numpy as jnp

from adapt_jax.clip.tower_records import EfficientNet, EfficientNetBlock
from adapt_jax.clip.towers.transformer import (
    ACTIVATIONS,
    along_last,
    array,
    batch_norm,
    batch_norm_shapes,
)
from adapt_jax.core.errors import InputError


def shapes(tower: EfficientNet, embed_dim: int) -> dict:
    """The parameters, as shapes; `embed_dim` is the width of the last block.

    Raises:
      InputError: it is another.
    """
    width = tower.blocks[-1].outputs
    if embed_dim != width:
        raise InputError(f"the image embeddings are {width} wide, the texts' {embed_dim}")
    units = {f"unit{i}": _block_shapes(block) for i, block in enumerate(tower.blocks)}
    return {
        "stem_conv": {"kernel": array(3, 3, 3, tower.stem)},
        "stem_bn": batch_norm_shapes(tower.stem),
        **units,
    }


def features(params: dict, tower: EfficientNet, pixels: jax.Array, kernel: str = "") -> jax.Array:
    """Image embeddings (B, width) of normalised pixels (B, H, W, 3) of any size, in their dtype.

    kernel: of other towers' positions, which are not here.
    """
    activation = ACTIVATIONS[tower.activation]

    def normed(x, params):
        return batch_norm(x, params, tower.epsilon)

    x = activation(normed(_conv(pixels, params["stem_conv"], 2, (0, 1)), params["stem_bn"]))
    for i, block in enumerate(tower.blocks):
        p, given = params[f"unit{i}"], x
        if block.inner != block.inputs:
            inner = p["expansion"]
            x = activation(normed(_conv(x, inner["expand_conv"]), inner["expand_bn"]))
        half = block.kernel // 2
        padding = (half - 1 if block.stride == 2 and block.even else half, half)
        inner = p["depthwise_conv"]
        x = _conv(x, inner["depthwise_conv"], block.stride, padding, groups=block.inner)
        x = activation(normed(x, inner["depthwise_norm"]))
        weight = jnp.mean(x, axis=(1, 2), keepdims=True)
        weight = activation(_conv(weight, p["squeeze_excite"]["reduce"]))
        x = x * jax.nn.sigmoid(_conv(weight, p["squeeze_excite"]["expand"]))
        x = normed(_conv(x, p["projection"]["project_conv"]), p["projection"]["project_bn"])
        x = x + given if block.residual else x
    return jnp.max(x, axis=(1, 2)) if tower.pooling == "max" else jnp.mean(x, axis=(1, 2))


def _conv(x, params, stride=1, padding=(0, 0), groups=1):
    x = jax.lax.conv_general_dilated(
        x,
        params["kernel"].astype(x.dtype),
        window_strides=(stride, stride),
        padding=(padding, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    return x + along_last(params["bias"].astype(x.dtype), x) if "bias" in params else x


def _block_shapes(block: EfficientNetBlock) -> dict:
    tree = {
        "depthwise_conv": {
            "depthwise_conv": {"kernel": array(block.kernel, block.kernel, 1, block.inner)},
            "depthwise_norm": batch_norm_shapes(block.inner),
        },
        "squeeze_excite": {
            "reduce": _pointwise_shapes(block.inner, block.squeezed),
            "expand": _pointwise_shapes(block.squeezed, block.inner),
        },
        "projection": {
            "project_conv": {"kernel": array(1, 1, block.inner, block.outputs)},
            "project_bn": batch_norm_shapes(block.outputs),
        },
    }
    if block.inner != block.inputs:
        tree["expansion"] = {
            "expand_conv": {"kernel": array(1, 1, block.inputs, block.inner)},
            "expand_bn": batch_norm_shapes(block.inner),
        }
    return tree


def _pointwise_shapes(inputs, outputs):
    return {"kernel": array(1, 1, inputs, outputs), "bias": array(outputs)}
