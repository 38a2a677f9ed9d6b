"""Maximum concept matching (Ming et al. 2022).

Paper: Delving into Out-of-Distribution Detection with Vision-Language Representations (NeurIPS
2022), https://arxiv.org/abs/2211.13445. Code: https://github.com/deeplearning-wisc/MCM.
"""

import jax
import jax.numpy as jnp

from adapt_jax.core.checks import finite, positive
from adapt_jax.zero_shot_detectors.base import (
    Insight,
    StreamDetector,
    TextBank,
    bank_of,
    cosines,
    images_of,
)


def make(
    *, logit_scale: float = 1.0, temperature: float = 1.0, logit_bias: float | None = None
) -> StreamDetector:
    """score = max_c softmax(logit_scale * cosine / temperature)_c over the ID labels.

    Args:
      logit_scale: factor of the cosines. The authors use 1; YBZh/OpenOOD-VLM uses CLIP's own scale,
        100, so that its temperature 100 is the authors' 1.
      temperature: temperature T of the paper; OpenOOD-VLM selects 2 of 0.5, 1, 1.5, 2, 3, 5.
      logit_bias: bias b of a model that was trained with a sigmoid, such as SigLIP. The score then
        is max_c sigmoid(logit_scale * cosine / temperature + b)_c, the probability that the image
        shows its nearest label whatever the others are; it ranks images as their largest cosine
        does. None: the softmax, which no bias changes.

    State: the bank; negatives are ignored.
    """
    positive(logit_scale=logit_scale, temperature=temperature)
    if logit_bias is not None:
        finite(logit_bias=logit_bias)

    def scaled(state: TextBank, images: jax.Array) -> jax.Array:
        return cosines(state.labels, images) * (logit_scale / temperature)

    def init(bank: TextBank) -> TextBank:
        return bank_of(bank, "mcm.init")

    @jax.jit
    def step(state: TextBank, images: jax.Array, valid: jax.Array) -> tuple[jax.Array, TextBank]:
        images = images_of(images, valid, state)
        logits = scaled(state, images)
        if logit_bias is not None:
            return jax.nn.sigmoid(jnp.max(logits, axis=0) + logit_bias), state
        # The largest probability itself: the others relative to it, no logarithm in between.
        return 1 / jnp.sum(jnp.exp(logits - jnp.max(logits, axis=0)[None]), axis=0), state

    return StreamDetector(init, step, Insight(scaled))
