"""The architecture of weights in OpenAI's layout, from the shapes of its tensors alone."""

import math
import re
from collections.abc import Mapping

from adapt_jax.clip.architecture import (
    Architecture,
    ModifiedResNet,
    TextTransformer,
    VisionTransformer,
)
from adapt_jax.clip.weights.names import detect
from adapt_jax.core.errors import InputError

_HEAD = 64  # width of an attention head in every model OpenAI released


def architecture_of(
    shapes: Mapping[str, tuple[int, ...]], activation: str = "quick_gelu"
) -> Architecture:
    """The configuration of the model whose tensors have these names and shapes.

    Args:
      shapes: of a file in OpenAI's layout.
      activation: which no shape tells; OpenAI's models use quick-GELU.

    Raises:
      InputError: another layout, a tensor that is needed for this is missing, or heads are not 64
        wide.
    """
    layout = detect(shapes)
    if layout.family != "openai":
        raise InputError(
            "these weights are in Hugging Face's layout, which says nothing about their "
            "activation; put their config.json beside them"
        )
    try:
        return Architecture(
            embed_dim=shapes[f"{layout.text_prefix}text_projection"][1],
            vision=_vision(shapes, activation),
            text=_text(shapes, layout.text_prefix, activation),
        )
    except KeyError as e:
        raise InputError(f"tensor {e.args[0]} is missing from these CLIP weights") from None


def _vision(shapes, activation):
    if "visual.proj" not in shapes:
        return _resnet(shapes)
    width, _, patch, _ = shapes["visual.conv1.weight"]
    return VisionTransformer(
        image_size=patch * _side(shapes["visual.positional_embedding"]),
        patch_size=patch,
        width=width,
        layers=_count(shapes, r"visual\.transformer\.resblocks\.(\d+)\."),
        heads=_heads(width),
        mlp_width=shapes["visual.transformer.resblocks.0.mlp.c_fc.weight"][0],
        activation=activation,
    )


def _resnet(shapes):
    width = shapes["visual.layer1.0.conv1.weight"][0]
    return ModifiedResNet(
        image_size=32 * _side(shapes["visual.attnpool.positional_embedding"]),
        width=width,
        blocks=tuple(_count(shapes, rf"visual\.layer{i}\.(\d+)\.") for i in (1, 2, 3, 4)),
        heads=_heads(32 * width),
    )


def _text(shapes, prefix, activation):
    width = shapes[f"{prefix}ln_final.weight"][0]
    return TextTransformer(
        context_length=shapes[f"{prefix}positional_embedding"][0],
        vocab_size=shapes[f"{prefix}token_embedding.weight"][0],
        width=width,
        layers=_count(shapes, rf"{prefix}transformer\.resblocks\.(\d+)\."),
        heads=_heads(width),
        mlp_width=shapes[f"{prefix}transformer.resblocks.0.mlp.c_fc.weight"][0],
        activation=activation,
    )


def _side(positions):
    return math.isqrt(positions[0] - 1)


def _count(shapes, pattern):
    """1 + the largest number among names that start with `pattern`: a gap shows up as missing."""
    found = [int(m[1]) for m in (re.match(pattern, name) for name in shapes) if m]
    return 1 + max(found, default=-1)


def _heads(width):
    if width % _HEAD:
        raise InputError(
            f"a width of {width} does not split into heads of {_HEAD}, as in OpenAI's models; put "
            "the model's configuration (open_clip_config.json) beside the weights"
        )
    return width // _HEAD
