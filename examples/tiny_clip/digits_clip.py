"""A CLIP small enough to train in a minute: `python -m examples.tiny_clip.digits_clip --out=DIR`.

For trying zero-shot detection without a download. Both towers are trained together, from scratch,
with CLIP's contrastive loss (Radford et al. 2021, figure 3) on the captioned pictures of
`caption_data`, and saved as Hugging Face lays a CLIP out. DIR/training.json says what the model has
seen and what was held out; DIR/held_out_textures.npz are pictures to test it with. A folder that
holds this model already is left as it is.
"""

import functools
import json
import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from adapt_jax import clip
from adapt_jax.clip.tokenizer import CONTEXT_LENGTH, VOCABULARY
from adapt_jax.clip.weights.config_files import read_json
from adapt_jax.core import checks
from adapt_jax.core.arrays import l2_normalize, matmul
from adapt_jax.core.errors import InputError, TrainingFailed
from adapt_jax.core.files import write_atomically
from adapt_jax.data import augment
from adapt_jax.runtime import cli, provenance, terminal
from adapt_jax.training import schedules
from examples.tiny_clip import caption_data

CARD, TEXTURES = "training.json", "held_out_textures.npz"
WIDTH = 64
ARCHITECTURE = clip.Architecture(
    embed_dim=WIDTH,
    vision=clip.VisionTransformer(
        image_size=caption_data.SIZE,
        patch_size=8,
        width=WIDTH,
        layers=3,
        heads=4,
        mlp_width=4 * WIDTH,
    ),
    text=clip.TextTransformer(
        context_length=CONTEXT_LENGTH,
        vocab_size=VOCABULARY,
        width=WIDTH,
        layers=2,
        heads=4,
        mlp_width=4 * WIDTH,
    ),
)
LARGEST_SCALE = 100.0  # of cosines, as in the original


class Settings(NamedTuple):
    """All that decides the weights."""

    seed: int = 0
    steps: int = 800
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    digits: float = 0.4  # share of a batch
    pictures: int = 200  # of each concept that is no digit


class Pool(NamedTuple):
    """The pictures and captions of all C concepts, one after the other.

    images (N, 32, 32, 3) uint8; ids (T, L) int32; images_from, texts_from (C + 1,) int32: those of
    concept c are rows from[c]:from[c + 1]; weight (C,): how often a concept is drawn.
    """

    images: jax.Array
    ids: jax.Array
    images_from: jax.Array
    texts_from: jax.Array
    weight: jax.Array


def main() -> None:
    """The job: trains and saves, unless that has been done."""
    settings = Settings(seed=flags.FLAGS.seed, steps=flags.FLAGS.steps)
    if not flags.FLAGS.out:
        raise InputError("--out=DIR is needed: the folder the model is written to")
    build(pathlib.Path(flags.FLAGS.out).expanduser(), settings)


def build(folder: pathlib.Path, settings: Settings) -> None:
    """Trains and writes model, card and the held-out textures (npz) into `folder`.

    Raises:
      InputError: settings out of range, or the folder holds another model.
    """
    counts = {k: getattr(settings, k) for k in ("steps", "batch_size", "pictures")}
    try:
        checks.positive_int(**counts)
        checks.non_negative(seed=settings.seed)
    except ValueError as e:
        raise InputError(f"digits_clip: {e}") from None
    console = terminal.console()
    made = {"settings": settings._asdict(), "architecture": repr(ARCHITECTURE)}
    if (folder / CARD).is_file():
        before = read_json(folder / CARD)
        if all(before.get(key) == value for key, value in made.items()):
            console.print(f"{folder} holds this model already")
            return
        raise InputError(f"{folder} holds another model; give another --out, or delete it")
    began = time.perf_counter()
    found = caption_data.concepts(settings.seed, settings.pictures)
    params, losses = train(found, settings, functools.partial(console.print, highlight=False))
    clip.save(folder, params, ARCHITECTURE)
    np.savez(folder / TEXTURES, images=caption_data.held_out_textures())
    card = made | {
        "losses": losses,
        "seconds": round(time.perf_counter() - began, 1),
        "seen": [
            {"kind": c.kind, "pictures": len(c.images), "captions": c.captions} for c in found
        ],
        "held_out": caption_data.HELD_OUT,
        "versions": provenance.versions(),
    }
    # Last: a folder with a card is whole.
    write_atomically(folder / CARD, (json.dumps(card, indent=1) + "\n").encode())
    console.print(f"wrote {folder} in {card['seconds']:.0f} s", highlight=False)


def train(concepts, settings: Settings, report_progress=print) -> tuple[clip.Params, list[float]]:
    """The parameters after training on `caption_data.Concept`s, and the mean loss of each tenth.

    Raises:
      TrainingFailed: the loss is not finite.
    """
    pool, used = make_pool(concepts, settings)
    first, *keys = jax.random.split(jax.random.key(settings.seed), 1 + settings.steps)
    params = clip.init(ARCHITECTURE, first)
    # Only tokens that occur get a gradient, so only their embeddings are trained.
    text, tokens = params["text"], params["text"]["tokens"]
    params |= {"text": text | {"tokens": tokens[used]}}
    optimizer, step = make_step(settings)
    state, losses = optimizer.init(params), []
    began, tenth = time.perf_counter(), -(-settings.steps // 10)
    for start in range(0, settings.steps, tenth):
        recent = []
        for key in keys[start : start + tenth]:
            params, state, loss = step(params, state, key, pool)
            recent.append(loss)
        done, mean = start + len(recent), float(np.mean(jax.device_get(recent)))
        if not np.isfinite(mean):
            raise TrainingFailed(f"the loss is {mean} before step {done}; try another --seed")
        losses.append(mean)
        seconds, scale = time.perf_counter() - began, np.exp(float(params["logit_scale"]))
        report_progress(
            f"step {done}/{settings.steps} loss {mean:.3f} scale {scale:.1f} {seconds:.0f} s"
        )
    tokens = tokens.at[used].set(params["text"]["tokens"])
    return params | {"text": params["text"] | {"tokens": tokens}}, losses


def make_pool(concepts, settings: Settings) -> tuple[Pool, np.ndarray]:
    """The concepts as arrays, and the tokens (U,) that occur: `ids` index these, not all 49,408."""
    ids = clip.tokenize([text for c in concepts for text in c.captions])
    used, ids = np.unique(ids[:, ids.any(axis=0)], return_inverse=True)
    # In ascending order, so that the end token still has the largest id.
    is_digit = np.array([c.kind == "digits" for c in concepts])
    share = np.where(is_digit, settings.digits, 1 - settings.digits)
    pool = Pool(
        images=np.concatenate([c.images for c in concepts]),
        ids=ids.reshape(-1, ids.shape[-1]).astype(np.int32),
        images_from=np.cumsum([0] + [len(c.images) for c in concepts], dtype=np.int32),
        texts_from=np.cumsum([0] + [len(c.captions) for c in concepts], dtype=np.int32),
        weight=share / np.where(is_digit, is_digit.sum(), (~is_digit).sum()),
    )
    return jax.tree.map(jnp.asarray, pool), used


def make_step(settings: Settings):
    """The optimiser, and `step(params, state, key, pool) -> params, state, loss`."""
    schedule = schedules.make(
        "linear_warmup_cosine",
        base_lr=settings.learning_rate,
        total_steps=settings.steps,
        steps_per_epoch=1,
        warmup_epochs=50,
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, b2=0.98, weight_decay=settings.weight_decay, mask=_decayed),
    )
    vary = augment.make(
        image_size=caption_data.SIZE, mean=ARCHITECTURE.mean, std=ARCHITECTURE.std, views=1,
        crop_scale=(0.6, 1.0), flip=0.0, hue=0.0, grayscale=0.5,
    )  # fmt: skip

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, key, pool):
        images, ids, concept = draw(key, pool, settings.batch_size)
        pixels = vary(jax.random.fold_in(key, 1), images)[:, 0]
        loss, gradient = jax.value_and_grad(loss_of)(params, pixels, ids, concept)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        scale = jnp.minimum(params["logit_scale"], np.log(LARGEST_SCALE))
        return params | {"logit_scale": scale}, state, loss

    return optimizer, step


def draw(key: jax.Array, pool: Pool, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pairs of one concept each: images (B, 32, 32, 3) uint8, ids (B, L), concept (B,)."""
    which, *keys = jax.random.split(key, 3)
    concept = jax.random.choice(which, len(pool.weight), (count,), p=pool.weight)

    def member(key, starts):
        low, high = starts[concept], starts[concept + 1]
        return jax.random.randint(key, (count,), low, high)

    image, text = (member(k, s) for k, s in zip(keys, (pool.images_from, pool.texts_from)))
    return pool.images[image], pool.ids[text], concept


def loss_of(params, pixels: jax.Array, ids: jax.Array, concept: jax.Array) -> jax.Array:
    """CLIP's symmetric cross-entropy of cosines (B, B), (); pairs of one concept all fit.

    A batch shows most of the 36 concepts several times. A caption then fits several images, and the
    target is uniform over these (Yang et al. 2022, UniCL); it is CLIP's where all are different.
    """
    images = l2_normalize(clip.image_features(params, ARCHITECTURE, pixels))
    texts = l2_normalize(clip.text_features(params, ARCHITECTURE, ids))
    logits = jnp.exp(params["logit_scale"]) * matmul(images, texts.T)
    same = (concept[:, None] == concept[None]).astype(logits.dtype)
    target = same / jnp.sum(same, axis=1, keepdims=True)

    def towards(logits):
        return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(logits, axis=1), axis=1))

    return (towards(logits) + towards(logits.T)) / 2


def _decayed(params):
    """Weight decay is for matrices; not for gains, biases, and not for embeddings."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key in ("kernel", "projection"), params)


if __name__ == "__main__":
    flags.DEFINE_string("out", "", "Folder of the model.")
    flags.DEFINE_integer("seed", 0, "Of everything random.")
    flags.DEFINE_integer("steps", Settings().steps, "Batches to train on.")
    cli.run(main)
