"""AdaNeg: negative proxies that adapt to the images seen (Zhang & Zhang 2024).

Paper: AdaNeg: Adaptive Negative Proxy Guided OOD Detection with Vision-Language Models (NeurIPS
2024), https://arxiv.org/abs/2410.20149. Code: https://github.com/YBZh/OpenOOD-VLM.

A batch is scored as NegLabel would, its confident images are remembered under their nearest label
or negative, and it is scored again against what each class remembers. This follows the authors'
program even where it is surprising; `make` says which of these points have a switch.
"""

from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core import grouping
from adapt_jax.core.arrays import NORM_FLOOR, l2_normalize, matmul, on_device
from adapt_jax.core.checks import fraction, non_negative, one_of, positive, positive_int
from adapt_jax.zero_shot_detectors import id_share_window
from adapt_jax.zero_shot_detectors.base import (
    Insight,
    StreamDetector,
    TextBank,
    bank_of,
    cosines,
    images_of,
)
from adapt_jax.zero_shot_detectors.memory import Memory, empty, write
from adapt_jax.zero_shot_detectors.ring import Ring

Proxy = Literal["task", "sample", "both"]
Score = Literal["combine", "adaptive", "static", "multiply"]


class AdaNegState(NamedTuple):
    """A stream so far; C classes are the labels, then the negatives.

    `proxies` (C, D), unit rows, but for proxy="sample"; `gram` (C, 1 + S, 1 + S), products of the
    rows of each class (its text, then its S slots), but for proxy="task"; `window` with
    adaptive_gap.
    """

    bank: TextBank
    groups: jax.Array
    memory: Memory
    proxies: jax.Array | None
    gram: jax.Array | None
    window: Ring | None


def make(
    *,
    logit_scale: float = 100.0,
    groups: int = 5,
    group_seed: int | None = 0,
    memory_length: int = 10,
    threshold: float = 0.5,
    gap: float = 0.5,
    beta: float = 5.0,
    lambda_: float = 0.1,
    proxy: Proxy = "task",
    adaptive_gap: bool = False,
    score: Score = "combine",
    fill_all_slots: bool = False,
    truncate_beta: bool = True,
) -> StreamDetector:
    """score = NegLabel's score against the adapted proxies, and usually some of the static one.

    Args:
      logit_scale, groups, group_seed: arguments of NegLabel's score, see `neglabel.make`.
      memory_length: number L of images that a class remembers. In the authors' code a class is
        full with L - 1 images.
      threshold, gap: bounds of the confident static scores. Images of a batch with a static score
        above threshold + gap (1 - threshold) are offered to their nearest label, those below
        threshold - gap threshold to their nearest negative.
      beta: sharpness of the sample-adaptive weights exp(-beta (1 - cosine)).
      lambda_: weight of the static score in "combine".
      proxy: how a class's text and images are averaged: "task" takes the mean, "sample" a mean
        weighted by the similarity to the image being scored. "both" scores with each and adds the
        two, as no committed script of the authors does.
      adaptive_gap: whether to use the variant that moves one threshold according to the share of
        ID images among the last 10,000 confident ones. Its "combine" adds the static score
        unweighted.
      score: which score is returned: "combine" (adaptive + lambda_ static), "adaptive", "static",
        or "multiply" (their product).
      fill_all_slots: whether to use L slots, as the paper has it.
      truncate_beta: whether to cut beta to an integer, as the original does (its 5.5 is 5).

    Scores depend on the order and on the batch size: a batch is scored with the memory it has just
    written, so a stored image sees itself. A job that steps in a loop should donate the state
    (`jax.jit(detector.step, donate_argnums=0)`): the memory is then updated in place.
    """
    positive(logit_scale=logit_scale)
    positive_int(groups=groups, memory_length=memory_length)
    fraction(threshold=threshold, gap=gap)
    non_negative(beta=beta, lambda_=lambda_)
    one_of(get_args(Proxy), proxy=proxy)
    one_of(get_args(Score), score=score)
    slots = memory_length if fill_all_slots else memory_length - 1
    sharpness = int(beta) if truncate_beta else beta
    weight = 1.0 if adaptive_gap else lambda_

    def init(bank: TextBank) -> AdaNegState:
        bank = bank_of(bank, "adaneg.init", groups)
        texts = np.concatenate([np.asarray(rows) for rows in bank])
        square = np.sum(texts * texts, axis=1)
        proxies = gram = None
        if proxy != "sample":
            proxies = on_device(texts / np.sqrt(square)[:, None])
        if proxy != "task":
            products = np.zeros((len(texts), 1 + slots, 1 + slots), texts.dtype)
            products[:, 0, 0] = square
            gram = on_device(products)
        return AdaNegState(
            bank=bank,
            groups=on_device(grouping.split(len(bank.negatives), groups, group_seed)),
            memory=empty(len(texts), slots, texts.shape[1], texts.dtype),
            proxies=proxies,
            gram=gram,
            window=id_share_window.start() if adaptive_gap else None,
        )

    def cosine_of(state: AdaNegState, images: jax.Array) -> jax.Array:
        return jnp.concatenate([cosines(texts, images) for texts in state.bank])  # (C, B)

    def adapt(state: AdaNegState, cosine: jax.Array, images: jax.Array) -> list[jax.Array]:
        """The images' cosines with the proxies (C, B), of each kind of proxy."""
        similarities = [] if state.proxies is None else [cosines(state.proxies, images)]
        if state.gram is not None:
            similarities.append(
                _sample_cosines(cosine, state.memory, state.gram, images, sharpness)
            )
        return similarities

    def logits_of(state: AdaNegState, images: jax.Array) -> jax.Array:
        cosine = cosine_of(state, images)
        return logit_scale * (cosine if score == "static" else adapt(state, cosine, images)[-1])

    def select(static: jax.Array, window, valid: jax.Array):
        """static (B,) -> confidently ID (B,), confidently OOD (B,), new window."""
        high: jax.Array | float = threshold + gap * (1 - threshold)
        low: jax.Array | float = threshold - gap * threshold
        positives, negatives = valid & (static > high), valid & (static < low)
        if adaptive_gap:
            window = id_share_window.push(window, positives, negatives)
            share = id_share_window.share(window).astype(static.dtype)
            high = jnp.where(share < 0.5, threshold + (1 - share) * (1 - threshold), high)
            low = jnp.where(share > 0.5, threshold - share * threshold, low)
            positives, negatives = valid & (static > high), valid & (static < low)
        return positives, negatives, window

    @jax.jit
    def step(
        state: AdaNegState, images: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, AdaNegState]:
        images = images_of(images, valid, state.bank)
        share = partial(_id_share, labels=len(state.bank.labels), groups=state.groups)
        cosine = cosine_of(state, images)
        logits = logit_scale * cosine
        static = share(logits)

        positives, negatives, window = select(static, state.window, valid)
        classes, entropy = _nearest(logits, len(state.bank.labels), positives)
        memory, written = write(state.memory, images, classes, entropy, positives | negatives)
        state = refresh(state._replace(memory=memory, window=window), classes, written)

        if score == "static":
            return static, state
        shares = [share(logit_scale * similarity) for similarity in adapt(state, cosine, images)]
        adaptive = shares[0] if len(shares) == 1 else shares[0] + shares[1]
        if score == "adaptive":
            return adaptive, state
        return adaptive * static if score == "multiply" else adaptive + weight * static, state

    return StreamDetector(
        init, step, Insight(logits_of, _remembers, _stored, partial(_proxies, beta=sharpness))
    )


def _remembers(state: AdaNegState) -> dict[str, jax.Array]:
    counts, labels = state.memory.count, len(state.bank.labels)
    return {
        "images of labels": jnp.sum(counts[:labels]),
        "images of negatives": jnp.sum(counts[labels:]),
        "labels with images": jnp.sum(counts[:labels] > 0),
        "negatives with images": jnp.sum(counts[labels:] > 0),
    }


def _stored(state: AdaNegState, classes: jax.Array) -> jax.Array:
    return state.memory.images[classes]


def _proxies(
    state: AdaNegState, classes: jax.Array, images: jax.Array, beta: float
) -> tuple[jax.Array, jax.Array]:
    """Both kinds of proxies (K, D) of classes (K,), the second for images (K, D), built as such."""
    rows = _rows(state, classes)
    weight = jnp.exp(-beta * (1 - jnp.einsum("kld,kd->kl", rows, images)))
    weighted = jnp.sum(weight[..., None] * rows, axis=1)  # free places are rows of zeros
    return l2_normalize(jnp.sum(rows, axis=1)), l2_normalize(weighted)


def _id_share(logits: jax.Array, labels: int, groups: jax.Array) -> jax.Array:
    # At most 1 by its meaning; not above by rounding, or a threshold of 1 would let images pass.
    return jnp.minimum(grouping.id_share(logits[:labels], logits[labels:], groups), 1)


def _nearest(logits: jax.Array, labels: int, positives: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The class each image would be remembered by and how unsure that choice is.

    logits (C, B), positives (B,) bool: among labels, or else among negatives -> classes (B,) int32,
    entropy (B,) of the softmax over those alone.
    """

    def among(part: jax.Array) -> tuple[jax.Array, jax.Array]:
        p = jax.nn.softmax(part, axis=0)
        # The first maximum. As two reductions: XLA's argmax is ten times slower on a CPU.
        top = part == jnp.max(part, axis=0)[None]
        rows = jnp.arange(len(part))[:, None]
        first = jnp.min(jnp.where(top, rows, len(part) - 1), axis=0)
        return first, -jnp.sum(p * jnp.log(p + 1e-8), axis=0)

    label, unsure = among(logits[:labels])
    negative, unsure_negative = among(logits[labels:])
    return (
        jnp.where(positives, label, labels + negative),
        jnp.where(positives, unsure, unsure_negative),
    )


def refresh(state: AdaNegState, classes: jax.Array, written: jax.Array) -> AdaNegState:
    """Brings proxies or Gram matrices of the written classes up to date; classes, written (B,)."""
    rows = _rows(state, classes)
    target = jnp.where(written, classes, len(state.memory.images))  # out of range: dropped
    if state.proxies is not None:
        proxies = l2_normalize(jnp.sum(rows, axis=1))
        state = state._replace(proxies=state.proxies.at[target].set(proxies, mode="drop"))
    if state.gram is not None:
        gram = matmul(rows, rows.swapaxes(1, 2))
        state = state._replace(gram=state.gram.at[target].set(gram, mode="drop"))
    return state


def _rows(state: AdaNegState, classes: jax.Array) -> jax.Array:
    """The text and the places of classes (B,): (B, 1 + S, D)."""
    own, others = (jnp.asarray(rows) for rows in state.bank)
    labels = len(own)
    text = jnp.where(
        (classes < labels)[:, None],
        own.at[classes].get(mode="clip"),
        others.at[jnp.maximum(classes - labels, 0)].get(mode="clip"),
    )
    return jnp.concatenate([text[:, None], state.memory.images[classes]], axis=1)


def _sample_cosines(
    cosine: jax.Array, memory: Memory, gram: jax.Array, images: jax.Array, beta: float
) -> jax.Array:
    """Cosines of images with their own weighted proxies, without building a proxy.

    With a_l the products of an image with the rows of a class, w_l = exp(-beta (1 - a_l)) and G the
    Gram matrix of those rows: (sum_l w_l a_l) / sqrt(w^T G w). Empty slots have a_l = 0 and a zero
    row in G, so they drop out; classes that remember nothing keep their text's cosine and their
    blocks are not visited, so that a young stream is cheap.

    Args:
      cosine: cosines (C, B) of texts and images.
      memory: the memory of C classes.
      gram: Gram matrix (C, 1 + S, 1 + S) of each class.
      images: unit rows (B, D).

    Returns:
      (C, B).
    """
    in_blocks = partial(_sample_cosines_in_blocks, beta=beta)
    return jax.lax.platform_dependent(
        cosine,
        memory,
        gram,
        images,
        cpu=partial(in_blocks, most=128),
        default=partial(in_blocks, most=512),
    )


def _sample_cosines_in_blocks(
    cosine: jax.Array, memory: Memory, gram: jax.Array, images: jax.Array, beta: float, most: int
) -> jax.Array:
    """The same, `most` classes at a time: on a CPU as many as leave their products in its cache."""
    total, slots, width = memory.images.shape
    block = min(most, total)
    occupied = memory.count > 0
    order = jnp.argsort(~occupied)  # classes to visit come first

    def visit(i, adapted):
        # The last block is moved back to end in time: some classes are then seen twice.
        classes = jax.lax.dynamic_slice_in_dim(order, i * block, block)
        stored = cosines(memory.images[classes].reshape(block * slots, width), images)
        own = cosine[classes][:, None]
        product = jnp.concatenate([own, stored.reshape(block, slots, -1)], axis=1)
        weight = jnp.exp(-beta * (1 - product))  # (block, 1 + S, B)
        square = jnp.sum(weight * matmul(gram[classes], weight), axis=1)
        norm = jnp.sqrt(jnp.maximum(square, NORM_FLOOR**2))
        return adapted.at[classes].set(jnp.sum(weight * product, axis=1) / norm)

    blocks = -(-jnp.sum(occupied) // block)
    return jax.lax.fori_loop(0, blocks, visit, cosine)
