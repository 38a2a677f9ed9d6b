"""The architecture of OpenAI's archives, from the shapes of their tensors.

As openai/CLIP's `build_model` finds it: heads are 64 wide and activations quick-GELU, always. Of
other programs' weights shapes do not tell these, see `released`.
"""

import math
import re
from collections.abc import Mapping

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.tower_records import ModifiedResNet, TextTransformer, VisionTransformer
from adapt_jax.core.errors import InputError

_HEAD = 64  # width of an attention head in every model OpenAI released


def architecture_of(shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    """The architecture that OpenAI's program builds for an archive with these tensors.

    Args:
      shapes: shape of every tensor of the archive, by name.

    Raises:
      InputError: another layout, a tensor that is needed for this is missing, or heads are not 64
        wide.
    """
    try:
        return Architecture(
            embed_dim=shapes["text_projection"][1], vision=_vision(shapes), text=_text(shapes)
        )
    except KeyError as e:
        raise InputError(f"tensor {e.args[0]} is missing from these CLIP weights") from None


def _vision(shapes):
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
    )


def _resnet(shapes):
    width = shapes["visual.layer1.0.conv1.weight"][0]
    return ModifiedResNet(
        image_size=32 * _side(shapes["visual.attnpool.positional_embedding"]),
        width=width,
        blocks=tuple(_count(shapes, rf"visual\.layer{i}\.(\d+)\.") for i in (1, 2, 3, 4)),
        heads=_heads(32 * width),
    )


def _text(shapes):
    width = shapes["ln_final.weight"][0]
    return TextTransformer(
        context_length=shapes["positional_embedding"][0],
        vocab_size=shapes["token_embedding.weight"][0],
        width=width,
        layers=_count(shapes, r"transformer\.resblocks\.(\d+)\."),
        heads=_heads(width),
        mlp_width=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
    )


def _side(positions):
    return math.isqrt(positions[0] - 1)


def _count(shapes, pattern):
    """1 + the largest number among names that start with `pattern`: a gap shows up as missing."""
    numbers = [int(m[1]) for m in (re.match(pattern, name) for name in shapes) if m]
    return 1 + max(numbers, default=-1)


def _heads(width):
    if width % _HEAD:
        raise InputError(
            f"a width of {width} does not split into heads of {_HEAD}, as in OpenAI's models; put "
            "the model's configuration (open_clip_config.json) beside the weights"
        )
    return width // _HEAD
