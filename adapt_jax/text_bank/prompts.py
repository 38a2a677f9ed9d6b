"""Words -> sentences: the templates of the official zero-shot programs, or one's own.

The tokenizer lower-cases, so capitals do not matter; the full stop does.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core.arrays import l2_normalize
from adapt_jax.core.errors import InputError


class Prompts(NamedTuple):
    """Templates, each with one `{}`: for ID labels (several are averaged), nouns, adjectives."""

    labels: tuple[str, ...]
    noun: str
    adjective: str


# What each program feeds to the text tower. "openood_vlm*": YBZh/OpenOOD-VLM, which also runs
# AdaNeg; its option text_prompt (nice, simple, tip) concerns the ID labels alone.
_OPENOOD_NEGATIVES = ("The nice {}.", "This is a {} photo.")
PRESETS = {
    "mcm": Prompts(("a photo of a {}",), "a photo of a {}", "This is a {} photo"),
    "neglabel": Prompts(("the nice {}",), "the nice {}", "This is a {} photo"),
    "openood_vlm": Prompts(("The nice {}.",), *_OPENOOD_NEGATIVES),
    "openood_vlm_simple": Prompts(("a photo of a {}.",), *_OPENOOD_NEGATIVES),
    "openood_vlm_tip": Prompts(
        (
            "itap of a {}.",
            "a bad photo of the {}.",
            "a origami {}.",
            "a photo of the large {}.",
            "a {} in a video game.",
            "art of the {}.",
            "a photo of the small {}.",
        ),
        *_OPENOOD_NEGATIVES,
    ),
}


def make(
    preset: str = "neglabel",
    labels: str | Sequence[str] = (),
    noun: str = "",
    adjective: str = "",
) -> Prompts:
    """A preset, with what is given in place of its own templates.

    Args:
      preset: a key of `PRESETS`.
      labels: one template or several for the ID labels, or `file:PATH` with one template a line
        (such as OpenAI's 80 for ImageNet).
      noun: template of the noun negatives.
      adjective: template of the adjective negatives.

    Raises:
      InputError: an unknown preset, an unreadable file, or a template without exactly one `{}`.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown prompts {preset!r}; known: {', '.join(PRESETS)}.")
    if isinstance(labels, str):
        is_file = labels.startswith("file:")
        labels = _lines(labels.removeprefix("file:")) if is_file else [labels] if labels else []
    base = PRESETS[preset]
    prompts = Prompts(tuple(labels) or base.labels, noun or base.noun, adjective or base.adjective)
    for template in (*prompts.labels, prompts.noun, prompts.adjective):
        if template.count("{}") != 1:
            raise InputError(f"a prompt needs exactly one {{}} for the word, got {template!r}.")
    return prompts


def fill(template: str, words: Iterable[str]) -> list[str]:
    """One sentence per word; braces within a word are left alone."""
    return [template.replace("{}", word) for word in words]


def ensemble(features: jax.Array) -> jax.Array:
    """Averages templates: (T, C, D) text features -> (C, D) unit rows.

    Each feature to unit length, then the mean, then to unit length, as all CLIP programs do.
    """
    return l2_normalize(jnp.mean(l2_normalize(features), axis=0))


def _lines(path: str) -> list[str]:
    try:
        lines = Path(path).expanduser().read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the prompts in {path}: {error}.") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise InputError(f"{path} has no prompt in it.")
    return lines
