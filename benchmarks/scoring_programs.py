"""The scoring steps of ImageNet's size, as functions of shapes: kNN, NegLabel, AdaNeg, CLIP.

kNN searches 1.2 million features of width 512 for the 1000th neighbour of 256 images; NegLabel and
AdaNeg score 256 images against 1,000 labels and 10,000 negatives, with a full memory; CLIP embeds
256 images of 224 px, and 256 texts of 77 tokens, in bfloat16.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax import zero_shot_detectors
from adapt_jax.clip import RELEASED, model
from adapt_jax.core import neighbours
from adapt_jax.core.arrays import unit_rows
from adapt_jax.runtime import sharding

BATCH, WIDTH = 256, 512
LABELS, NEGATIVES = 1000, 10_000
ROWS, NEIGHBOURS = 1_200_000, 1000


class Step(NamedTuple):
    """A function and the shapes of its arguments; `donated` is the argument it may overwrite."""

    function: Callable
    arguments: tuple[Any, ...]
    donated: tuple[int, ...] = ()


def _knn() -> Step:
    block = neighbours.BANK_BLOCK
    blocks = ROWS // block
    bank = neighbours.Bank(_array(WIDTH), _array(blocks, block, WIDTH), _array(blocks, block))
    search = partial(neighbours.kth_squared_distance, k=NEIGHBOURS)
    return Step(search, (_array(BATCH, WIDTH), bank))


def text_bank(labels: int, negatives: int, width: int) -> zero_shot_detectors.TextBank:
    """Random unit rows (labels, width) and (negatives, width)."""
    rng = np.random.default_rng(0)
    rows = unit_rows(rng.standard_normal((labels + negatives, width), dtype=np.float32))
    return zero_shot_detectors.TextBank(rows[:labels], rows[labels:])


def _zero_shot(name: str, **params) -> Step:
    detector = zero_shot_detectors.make(name, **params)
    state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
        detector.init(text_bank(LABELS, NEGATIVES, WIDTH)),
    )
    valid = jax.ShapeDtypeStruct((BATCH,), jnp.bool_)
    return Step(detector.step, (state, _array(BATCH, WIDTH), valid), (0,))


def _images(name: str) -> Step:
    tower = RELEASED[name]
    side = tower.vision.image_size
    pixels = jax.ShapeDtypeStruct((BATCH, side, side, 3), jnp.uint8)

    def embed(params, pixels):
        return model.image_features(params, tower, pixels, "bfloat16")

    return Step(embed, (model.shapes(tower), pixels))


def _texts(name: str) -> Step:
    tower = RELEASED[name]
    ids = jax.ShapeDtypeStruct((BATCH, tower.text.context_length), jnp.int32)

    def embed(params, ids):
        return model.text_features(params, tower, ids, "bfloat16")

    return Step(embed, (model.shapes(tower), ids))


def _array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


PROGRAMS: dict[str, Callable[[], Step]] = {
    "knn": _knn,
    "neglabel": partial(_zero_shot, "neglabel"),
    "adaneg_task": partial(_zero_shot, "adaneg", proxy="task"),
    "adaneg_sample": partial(_zero_shot, "adaneg", proxy="sample"),
    "clip_vit_b16": partial(_images, "ViT-B/16"),
    "clip_vit_l14": partial(_images, "ViT-L/14"),
    "clip_text": partial(_texts, "ViT-B/16"),
}


def compile_for(name: str, mesh) -> jax.stages.Compiled:
    """The compiled step `name` of `PROGRAMS`, on one device of the mesh."""
    step = PROGRAMS[name]()
    whole = sharding.replicated(mesh)
    arguments = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), step.arguments
    )
    jitted = jax.jit(step.function, donate_argnums=step.donated)
    return jitted.lower(*arguments).compile()
