"""TANL: test-time activated negative labels (Zhang et al. 2026).

Paper: Activation Matters: Test-time Activated Negative Labels for OOD Detection with
Vision-Language Models (CVPR 2026), https://arxiv.org/abs/2603.25250. Code:
https://github.com/YBZh/OpenOOD-VLM.

Of a large pool of negatives, every batch picks those that confident OOD images activate and
confident ID images do not, and is scored against them, the most activated ones counting most.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import Array, checked_unit_rows
from adapt_jax.core.checks import fraction, non_negative, positive, positive_int
from adapt_jax.core.errors import InputError
from adapt_jax.core.grouping import torch_permutation
from adapt_jax.zero_shot_detectors import ring
from adapt_jax.zero_shot_detectors.base import (
    Insight,
    StreamDetector,
    TextBank,
    bank_of,
    cosines,
    images_of,
)
from adapt_jax.zero_shot_detectors.ring import Ring

GRID = (np.arange(100) * 0.01).astype(np.float32)  # candidate thresholds


class TanlState(NamedTuple):
    """A stream so far, with M negatives.

    id_activations, ood_activations: rings of rows (M,), see `_activations`, of ID-like and OOD-like
    images; scores: ring of the scores of all images.
    """

    bank: TextBank
    id_activations: Ring
    ood_activations: Ring
    scores: Ring


def make(
    *,
    logit_scale: float = 100.0,
    alpha: float = 0.0,
    beta: int = 1000,
    gamma: int = 1,
    gap: float = 0.5,
    memory_length: int = 300,
    score_memory_length: int = 20_000,
    seed: int = 0,
    without_noise: bool = False,
) -> StreamDetector:
    """score = mean over i of the ID share of the softmax over all labels and gamma * i negatives.

    The negatives are the `beta` most activated ones, in order, so the first ones count most.

    Args:
      logit_scale: factor of the cosines; the original takes the checkpoint's own, 100 for CLIP.
      alpha: weight of the remembered activations against those of the batch, in [0, 1]. With 0 a
        batch that has confident images of both kinds is scored by its own activations alone.
      beta: number of negatives that are picked; all of them if the bank has fewer.
      gamma: step between the numbers of negatives that are averaged over; 0 takes the score
        against all picked negatives alone.
      gap: width of the band of scores around the threshold, in [0, 1], in which images are neither
        ID-like nor OOD-like.
      memory_length: number of remembered activations of each kind.
      score_memory_length: number of remembered scores, from which the threshold is computed.
      seed: seed of the random order, the one PyTorch draws on CPU, in which the labels and the
        noise features are remembered at the start.
      without_noise: whether to start without embeddings of noise images, which the original always
        has: OOD activations count as zero until the first OOD-like image.

    `init(bank, noise)` takes embeddings of noise images (N, D), the original's 15 or any number,
    unit rows; and as the bank's negatives all candidates, since TANL selects among them by itself.
    Scores depend on the order and on the batch size, that of an image on its whole batch. The state
    holds 2 * memory_length * M numbers.

    Raises:
      ValueError: a hyper-parameter out of its range.
    """
    positive(logit_scale=logit_scale)
    fraction(alpha=alpha, gap=gap)
    positive_int(beta=beta, memory_length=memory_length, score_memory_length=score_memory_length)
    non_negative(gamma=gamma)
    if gamma != int(gamma):
        raise ValueError(f"gamma must be a whole number, got {gamma!r}")
    # Numbers of negatives to average over. As executed, `beta` decides how many terms there are,
    # also where the bank has fewer negatives; the last terms are then equal.
    gamma = int(gamma)
    steps = np.arange(gamma, beta + gamma, gamma) if gamma else np.array([beta])

    def pick(activation: jax.Array) -> jax.Array:
        return jax.lax.top_k(activation, min(beta, len(activation)))[1]

    def score(logits: "_Logits", picked: jax.Array) -> jax.Array:
        """(B,) in [0, 1], against the picked negatives in their order."""
        negatives = logits.negatives[:, picked].T
        largest = jnp.max(negatives, axis=0)  # subtracted: sums near 0 round least
        against = _prefix_logsumexp(negatives - largest[None])[np.minimum(steps, len(picked)) - 1]
        return jnp.mean(jax.nn.sigmoid((logits.labels - largest)[None] - against), axis=0)

    def init(bank: TextBank, noise: Array | None = None) -> TanlState:
        bank = bank_of(bank, "tanl.init")
        if not len(bank.negatives):
            raise InputError("tanl.init: the text bank has no negative; give all candidate words")
        if noise is None and not without_noise:
            raise InputError(
                "tanl.init: TANL starts from embeddings of noise images and there are none; give "
                "them (noise.npz in a folder of embeddings), or set without_noise=True"
            )
        rows = bank.labels[:0] if without_noise else noise
        rows = checked_unit_rows(rows, "tanl.init: noise", bank.labels.shape[1])
        return begin(bank, jnp.array(rows, bank.labels.dtype))

    @jax.jit
    def begin(bank: TextBank, noise: jax.Array) -> TanlState:
        random = np.random.RandomState(seed)
        rings, logits = [], []
        for rows in (bank.labels, noise):
            rows_logits = _logits(bank, jnp.asarray(rows), logit_scale)
            rows_activations = _activations(rows_logits)[torch_permutation(len(rows), random)]
            memory = ring.empty(memory_length, len(bank.negatives), dtype=rows.dtype)
            rings.append(ring.append(memory, rows_activations, jnp.ones(len(rows), bool)))
            logits.append(rows_logits)
        picked = pick(ring.mean(rings[1]) - ring.mean(rings[0]))
        first = jnp.concatenate([score(part, picked) for part in logits])
        scores = ring.empty(score_memory_length, dtype=first.dtype)
        scores = ring.append(scores, first, jnp.ones(len(first), bool))
        return TanlState(bank, rings[0], rings[1], scores)

    @jax.jit
    def step(state: TanlState, images: jax.Array, valid: jax.Array) -> tuple[jax.Array, TanlState]:
        logits = _logits(state.bank, images_of(images, valid, state.bank), logit_scale)
        activations = _activations(logits)
        id_mean, ood_mean = ring.mean(state.id_activations), ring.mean(state.ood_activations)
        first = score(logits, pick(ood_mean - id_mean))
        scores = ring.append(state.scores, first, valid)
        middle = threshold(scores.rows, ring.filled(scores)).astype(first.dtype)
        id_like = valid & (first > middle + gap * (1 - middle))
        ood_like = valid & (first < middle - gap * middle)

        def adapted(mean: jax.Array, rows: jax.Array) -> jax.Array:
            count = jnp.sum(rows)
            batch = jnp.sum(jnp.where(rows[:, None], activations, 0), axis=0)
            batch = batch / jnp.maximum(count, 1).astype(batch.dtype)
            return jnp.where(count > 0, alpha * mean + (1 - alpha) * batch, mean)

        picked = pick(adapted(ood_mean, ood_like) - adapted(id_mean, id_like))
        return score(logits, picked), TanlState(
            state.bank,
            ring.append(state.id_activations, activations, id_like),
            ring.append(state.ood_activations, activations, ood_like),
            scores,
        )

    def logits_of(state: TanlState, images: jax.Array) -> jax.Array:
        """Those of the labels and of the negatives that the stream as a whole picks."""
        labels, negatives = (logit_scale * cosines(texts, images) for texts in state.bank)
        picked = pick(ring.mean(state.ood_activations) - ring.mean(state.id_activations))
        left_out = jnp.ones(len(negatives), bool).at[picked].set(False)
        return jnp.concatenate([labels, jnp.where(left_out[:, None], -jnp.inf, negatives)])

    return StreamDetector(init, step, Insight(logits_of, _remembers), starts_from_noise=True)


def _remembers(state: TanlState) -> dict[str, jax.Array]:
    return {
        "activations of ID-like images, labels at first": state.id_activations.size,
        "activations of OOD-like images, noise at first": state.ood_activations.size,
        "scores": state.scores.size,
    }


class _Logits(NamedTuple):
    """labels (B,), log-sum-exp of an image's logits over all labels; negatives (B, M)."""

    labels: jax.Array
    negatives: jax.Array


def _logits(bank: TextBank, images: jax.Array, scale: float) -> _Logits:
    labels, negatives = (scale * cosines(images, t) for t in (bank.labels, bank.negatives))
    return _Logits(jax.nn.logsumexp(labels, axis=1), negatives)


def _activations(logits: _Logits) -> jax.Array:
    """(B, M), the negatives' part of the softmax over all labels and negatives."""
    total = jnp.logaddexp(logits.labels, jax.nn.logsumexp(logits.negatives, axis=1))
    return jnp.exp(logits.negatives - total[:, None])


def _prefix_logsumexp(rows: jax.Array) -> jax.Array:
    """Log-sum-exp of the first 1, 2, ..., N rows of (N, B).

    A loop: `jax.lax.cumlogsumexp` takes time quadratic in N on a CPU.
    """

    def add(total, row):
        total = jnp.logaddexp(total, row)
        return total, total

    return jax.lax.scan(add, jnp.full_like(rows[0], -jnp.inf), rows)[1]


def threshold(scores: jax.Array, valid: jax.Array) -> jax.Array:
    """The grid point that splits the valid scores with the least variance within both sides (Otsu).

    Grid points between the same two scores are equally good: the upper middle one of them is taken.
    0.5 if no grid point has scores on both sides.

    Args:
      scores: scores (N,) in [0, 1].
      valid: bool (N,), which scores count.

    Returns:
      (), float32.
    """
    total = jnp.sum(valid)
    centred = scores - jnp.sum(jnp.where(valid, scores, 0)) / jnp.maximum(total, 1)
    above = valid[:, None] & (scores[:, None] >= GRID[None])
    count = jnp.sum(above, axis=0)
    # Least variance within is most variance between, which is (a constant times) this, since
    # centred scores add up to zero.
    separation = jnp.sum(jnp.where(above, centred[:, None], 0), axis=0) ** 2
    split = (count > 0) & (count < total)
    between = jnp.where(split, separation / jnp.maximum(count * (total - count), 1), -1)
    best = jnp.argmax(between)
    middle = best + jnp.sum(count == count[best]) // 2
    return jnp.where(jnp.any(split), jnp.array(GRID)[middle], 0.5)
