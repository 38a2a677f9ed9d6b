"""Negative labels (Jiang et al. 2024).

Paper: Negative Label Guided OOD Detection with Pretrained Vision-Language Models (ICLR 2024),
https://arxiv.org/abs/2403.20078. Code: https://github.com/XueJiang16/NegLabel.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core import grouping
from adapt_jax.core.arrays import on_device
from adapt_jax.core.checks import positive, positive_int
from adapt_jax.zero_shot_detectors.base import (
    Insight,
    StreamDetector,
    TextBank,
    bank_of,
    cosines,
    images_of,
)


class NegLabelState(NamedTuple):
    """The bank, and the rows of its negatives in each group, groups (G, M // G) int32."""

    bank: TextBank
    groups: jax.Array


def make(
    *,
    logit_scale: float = 100.0,
    groups: int = 100,
    group_seed: int | None = 0,
    temperature: float = 1.0,
) -> StreamDetector:
    """score = mean over groups of the softmax mass on ID labels against one group of negatives.

    Args:
      logit_scale: factor of the cosines; the original has the constant 100, YBZh/OpenOOD-VLM uses
        the checkpoint's own.
      groups: number of groups; the last M mod groups negatives are left out. 1 means no grouping:
        one softmax over all of them (the original then returns a plain sum of ID logits, a mistake
        not repeated).
      group_seed: seed of the shuffle, the one PyTorch draws on CPU; None leaves the negatives in
        order.
      temperature: temperature that the logits are divided by.

    `init` raises InputError when there are fewer negatives than groups.
    """
    positive(logit_scale=logit_scale, temperature=temperature)
    positive_int(groups=groups)

    def init(bank: TextBank) -> NegLabelState:
        bank = bank_of(bank, "neglabel.init", groups)
        return NegLabelState(
            bank, on_device(grouping.split(len(bank.negatives), groups, group_seed))
        )

    def logits(state: NegLabelState, images: jax.Array) -> list[jax.Array]:
        return [cosines(texts, images) * (logit_scale / temperature) for texts in state.bank]

    @jax.jit
    def step(
        state: NegLabelState, images: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, NegLabelState]:
        labels, negatives = logits(state, images_of(images, valid, state.bank))
        return grouping.id_share(labels, negatives, state.groups), state

    return StreamDetector(init, step, Insight(lambda *given: jnp.concatenate(logits(*given))))
