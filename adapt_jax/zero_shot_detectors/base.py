"""What a zero-shot detector is: a text bank in, scores of a stream of images out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core.arrays import Array, checked_unit_rows, matmul, on_device, working_dtype
from adapt_jax.core.errors import InputError

State = Any  # a pytree of arrays


class TextBank(NamedTuple):
    """Text embeddings, unit rows: ID labels (C, D) and negatives (M, D), M = 0 allowed for MCM.

    Negatives are in the order mining gave them: grouping leaves out the last few.
    """

    labels: Array
    negatives: Array


class Insight(NamedTuple):
    """What a score comes from, for people who ask.

    `logits(state, images (B, D)) -> (C, B)`: of the labels, and after them of the negatives where
    the detector uses any; the score is made of their softmax, with the state as it is.
    `remembers(state) -> {"what": ()}`: how much of what a stream has kept; {} where nothing is.
    `stored(state, classes (K,)) -> (K, S, D)`: embeddings of the images that are kept for classes,
    numbered as the logits are, zero where a place is free; None for detectors that keep none.
    `proxies(state, classes (K,), images (K, D)) -> two (K, D)`: what stands for each class, unit
    rows: its task-adaptive proxy, and its sample-adaptive one for that image; None for detectors
    without proxies.
    """

    logits: Callable[[State, jax.Array], jax.Array]
    remembers: Callable[[State], dict[str, jax.Array]] = lambda state: {}
    stored: Callable[[State, jax.Array], jax.Array] | None = None
    proxies: Callable[[State, jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None = None


class StreamDetector(NamedTuple):
    """Scores images as they come; larger = more in-distribution, always.

    `init(bank) -> state`: a fresh stream, made on the host. Raises InputError on a bank that is no
    bank of unit rows, or that has too few negatives.

    `step(state, images, valid) -> (scores, state)`: images (B, D) unit rows, valid (B,) bool,
    scores (B,) in the bank's dtype. Jitted and pure. Rows that are not valid never touch the state
    and their scores mean nothing. Static detectors return the state unchanged, and then no split of
    the stream into batches changes a score; for adaptive ones order and batch size matter.

    `insight`: what its scores come from.

    `starts_from_noise`: whether `init(bank, noise)` takes embeddings of noise images, unit rows
    (N, D), as TANL's does.
    """

    init: Callable[..., State]
    step: Callable[[State, jax.Array, jax.Array], tuple[jax.Array, State]]
    insight: Insight
    starts_from_noise: bool = False

    def start(self, bank: TextBank, noise: Array | None = None) -> State:
        """A fresh stream, whether or not the detector starts from noise (N, D); see `init`."""
        return self.init(bank, noise) if self.starts_from_noise else self.init(bank)


def bank_of(bank: TextBank, where: str, groups: int = 0) -> TextBank:
    """A copy of the bank on the device, at least float32, checked.

    Raises:
      InputError: rows that are not unit rows of one width, no label, fewer negatives than groups.
    """
    labels = checked_unit_rows(bank.labels, f"{where}: labels")
    negatives = checked_unit_rows(bank.negatives, f"{where}: negatives", width=labels.shape[1])
    if not len(labels):
        raise InputError(f"{where}: the text bank has no ID label")
    if len(negatives) < groups:
        raise InputError(
            f"{where}: {len(negatives)} negatives cannot fill {groups} groups; "
            "mine more negatives or lower groups"
        )
    dtype = working_dtype(jnp.promote_types(labels.dtype, negatives.dtype))
    # Copies: a state may be donated, and the bank is the caller's.
    return TextBank(on_device(labels, dtype), on_device(negatives, dtype))


def cosines(rows: Array, others: Array) -> jax.Array:
    """Products of unit rows (N, D) and (M, D) -> (N, M), at full precision."""
    return matmul(rows, others.T)


def images_of(images: jax.Array, valid: jax.Array, bank: TextBank) -> jax.Array:
    """The images (B, D) in the bank's dtype, zero where they are padding.

    Raises:
      InputError: shapes that do not fit the bank or each other.
    """
    width = bank.labels.shape[1]
    if images.ndim != 2 or images.shape[1] != width or valid.shape != images.shape[:1]:
        raise InputError(
            f"step: images must be (B, {width}) as the text bank is and valid (B,), got "
            f"{images.shape} and {valid.shape}; use the same CLIP model for both"
        )
    return jnp.where(valid[:, None], images.astype(bank.labels.dtype), 0)
