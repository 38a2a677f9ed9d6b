"""Learned vectors in place of a prompt's words: [start] v1 ... vn class name. [end].

As CoOp (Zhou et al. 2022; KaiyangZhou/CoOp trainers/coop.py) and its successors feed them to the
text tower. The vectors become words of a larger vocabulary, so that the tower itself is unchanged.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from adapt_jax.clip import towers
from adapt_jax.clip.model import Model
from adapt_jax.clip.tower_records import TextTransformer
from adapt_jax.core.errors import InputError

POSITIONS = ("end", "middle", "front")


def tower(model: Model) -> TextTransformer:
    """The text tower, whose words the vectors take the place of.

    Raises:
      InputError: another text tower than CLIP's.
    """
    text_tower = model.architecture.text
    if not isinstance(text_tower, TextTransformer):
        raise InputError(
            "learned contexts are words of CLIP's text tower, and this model has another "
            f"({type(text_tower).__name__}); give a CLIP"
        )
    return text_tower


def prompts(
    model: Model,
    contexts: np.ndarray,
    names: Sequence[str],
    which: np.ndarray,
    *,
    full_stop: bool = True,
    position: str = "end",
) -> tuple[Model, np.ndarray]:
    """Prompts of learned contexts, as token ids of a model that knows the contexts.

    Args:
      model: the CLIP.
      contexts: (K, n, W) contexts of n vectors, W wide as the tokens of the text tower.
      names: N names of classes, or other words; underscores become spaces.
      which: (N,) integers, the context of every name.
      full_stop: whether a full stop follows.
      position: where the name stands: "end" of the context, "middle" or "front".

    Returns:
      The model with the K n vectors in front of its vocabulary, and ids (N, L) for its
      `encode_text`.

    Raises:
      InputError: no CLIP, vectors of another width, an unknown position or too long a prompt.
    """
    count, length, wide = contexts.shape
    own = tower(model)
    if wide != own.width:
        raise InputError(
            f"the learned contexts have vectors of width {wide}, and the text tower of this CLIP "
            f"{own.width}; they belong to another CLIP"
        )
    if position not in POSITIONS:
        raise InputError(f"a class name stands at the {', '.join(POSITIONS)}; got {position!r}")
    added = count * length
    names = [name.replace("_", " ") for name in names]
    plain = [f"{'x ' * length}{name}{'.' * full_stop}" for name in names]
    ids = model.tokenize(plain) + added
    ids[:, 1 : 1 + length] = np.asarray(which)[:, None] * length + np.arange(length)
    before = {"end": length, "middle": length // 2, "front": 0}[position]
    if before < length:
        first, behind = 1 + before, 1 + length
        ends = behind + towers.of(own).lengths(own, model.tokenize(names)) - 2
        for row, end in zip(ids, ends):
            row[first:end] = np.concatenate([row[behind:end], row[first:behind]])
    end = own.eos_token_id
    larger = dataclasses.replace(
        own,
        vocab_size=own.vocab_size + added,
        eos_token_id=None if end is None else end + added,
    )
    text = model.params["text"]
    tokens = jnp.concatenate([contexts.reshape(added, wide), np.asarray(text["tokens"])])
    return dataclasses.replace(
        model,
        architecture=dataclasses.replace(model.architecture, text=larger),
        params={**model.params, "text": {**text, "tokens": tokens}},
    ), ids
