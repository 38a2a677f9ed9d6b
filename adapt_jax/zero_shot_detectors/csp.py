"""CSP: the conjugated semantic pool (Chen et al. 2024).

Paper: Conjugated Semantic Pool Improves OOD Detection with Pre-trained Vision-Language Models
(NeurIPS 2024), https://arxiv.org/abs/2410.08611. Code:
https://github.com/MengyuanChen21/NeurIPS2024-CSP.
"""

from adapt_jax.zero_shot_detectors import neglabel
from adapt_jax.zero_shot_detectors.base import StreamDetector


def make(
    *,
    logit_scale: float = 100.0,
    groups: int = 100,
    group_seed: int | None = 0,
    temperature: float = 1.0,
) -> StreamDetector:
    """NegLabel's score, word for word; what is new are the negatives in the bank.

    Adjectives become phrases of a superclass ("wet landscape", `text_bank.phrases`), texts are
    averages of several prompts (preset "csp"), and a word that is nearly an ID label is chosen last
    (`mine_negatives` with near_duplicate=0.95). On one and the same bank, `csp` and `neglabel` give
    the same scores.

    Args:
      logit_scale, groups, group_seed, temperature: arguments of `neglabel.make`.
    """
    return neglabel.make(
        logit_scale=logit_scale, groups=groups, group_seed=group_seed, temperature=temperature
    )
