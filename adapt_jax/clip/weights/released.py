"""Weights without a configuration: which released model has exactly these tensors.

The names and shapes of tensors tell nothing of the number of attention heads, nor of the
activation, and a wrong guess of either costs tens of points of accuracy without an error. So only
the models of `RELEASED` are recognised, by all their tensors, and OpenAI's archives, by three
scalars that nobody else writes.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.model import shapes
from adapt_jax.clip.released_models import RELEASED
from adapt_jax.clip.weights import from_shapes, names
from adapt_jax.core.errors import InputError

_ARCHIVE = {"input_resolution", "context_length", "vocab_size"}  # scalars in OpenAI's archives
_ALONE = "there is no configuration beside the weights; by their tensors"


class Guess(NamedTuple):
    """An architecture, and a sentence that says how it was found and what it may be instead."""

    architecture: Architecture
    note: str


def recognised(tensors: Mapping[str, tuple[int, ...]]) -> Guess:
    """The released model with these tensors.

    Args:
      tensors: the shape of every tensor of a file, by name, in any layout.

    Raises:
      InputError: this is no archive of OpenAI's, and no released model has exactly these.
    """
    layout = names.detect(tensors)
    if layout.family == "openai" and tensors.keys() >= _ARCHIVE:
        architecture = from_shapes.architecture_of(tensors)
        note = f"{_ALONE} this is an archive of OpenAI's ({_told(architecture)})"
        return Guess(architecture, note)
    given = _compared(tensors)
    fitting = [
        name for name, architecture in RELEASED.items() if _tensors(architecture, layout) == given
    ]
    if not fitting:
        raise InputError(
            "there is no configuration beside these weights, and no released model has their "
            "shapes, which do not tell the number of attention heads or the activation; put the "
            "model's config.json (Hugging Face) or open_clip_config.json (OpenCLIP) beside them, "
            "or name such a file as clip.architecture"
        )
    architecture = RELEASED[fitting[0]]
    note = f"{_ALONE} these are guessed to be {fitting[0]} ({_told(architecture)})"
    if others := fitting[1:]:
        kinds = ", ".join(f"{name} ({_told(RELEASED[name])})" for name in others)
        note += f", but {kinds} has the same shapes: say which with clip.architecture"
    if layout.family != "openai":
        architecture = dataclasses.replace(
            architecture, preprocessing="huggingface", position_kernel="huggingface"
        )
    return Guess(architecture, note)


@functools.cache
def _tensors(architecture: Architecture, layout: names.Layout) -> dict[str, tuple[int, ...]]:
    return _compared(names.tensors(shapes(architecture), layout))


def _told(architecture: Architecture) -> str:
    heads = getattr(architecture.vision, "heads", "no")  # a CLIP's has some
    return f"{heads} heads, {architecture.text.activation}"


def _compared(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Without buffers, and without the scale, which is stored in two shapes."""
    return {
        name: tuple(shape)
        for name, shape in tensors.items()
        if name != "logit_scale" and not names.IGNORED.search(name)
    }
