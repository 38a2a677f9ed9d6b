"""Words -> sentences: the templates of the official zero-shot programs, or one's own.

The tokenizer lower-cases, so capitals do not matter; the full stop does.
"""

import functools
import operator
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core.arrays import unit_rows
from adapt_jax.core.errors import InputError


class Prompts(NamedTuple):
    """Templates, each with one `{}`, for ID labels, nouns and adjectives; several are averaged.

    unit_first: whether the features of several templates are made unit length before they are
      averaged, see `ensemble`.
    """

    labels: tuple[str, ...]
    noun: tuple[str, ...]
    adjective: tuple[str, ...]
    unit_first: bool = True


# What each program feeds to the text tower. "openood_vlm*": YBZh/OpenOOD-VLM, which also runs
# AdaNeg; its option text_prompt (nice, simple, tip) is about labels and nouns. It mines with
# "The nice {}." whatever that option is, we mine with the preset's own templates.
_OPENOOD_ADJECTIVE = ("This is a {} photo.",)
_SIMPLE = ("a photo of a {}.",)
_TIP = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
_CSP = (
    "a close-up photo of the nice {}.",
    "a photo with the nice {}.",
    "a good photo with the nice {}.",
    "a photo of the nice {}.",
    "{}",
    "the {}",
    "the good {}",
    "the nice {}",
)
PRESETS = {
    "mcm": Prompts(("a photo of a {}",), ("a photo of a {}",), ("This is a {} photo",)),
    "neglabel": Prompts(("the nice {}",), ("the nice {}",), ("This is a {} photo",)),
    "csp": Prompts(
        _CSP,
        _CSP,
        ("{}", "a nice photo of {}", "a good photo of {}", "a close-up photo of {}"),
        unit_first=False,
    ),
    "openood_vlm": Prompts(("The nice {}.",), ("The nice {}.",), _OPENOOD_ADJECTIVE),
    "openood_vlm_simple": Prompts(_SIMPLE, _SIMPLE, _OPENOOD_ADJECTIVE),
    "openood_vlm_tip": Prompts(_TIP, _TIP, _OPENOOD_ADJECTIVE),
}


def make(
    preset: str = "neglabel",
    labels: str | Sequence[str] = (),
    noun: str | Sequence[str] = (),
    adjective: str | Sequence[str] = (),
) -> Prompts:
    """A preset of templates, some of which may be replaced.

    Args:
      preset: name of the preset, a key of `PRESETS`.
      labels: template or templates for the ID labels, or `file:PATH` with one template a line
        (such as OpenAI's 80 for ImageNet).
      noun: template or templates for the noun negatives.
      adjective: template or templates for the adjective negatives.

    Raises:
      InputError: an unknown preset, an unreadable file, or a template without exactly one `{}`.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown prompts {preset!r}; known: {', '.join(PRESETS)}")
    given = {"labels": labels, "noun": noun, "adjective": adjective}
    own: dict[str, Any]
    own = {kind: templates for kind, value in given.items() if (templates := _templates(value))}
    prompts = PRESETS[preset]._replace(**own)
    for template in (*prompts.labels, *prompts.noun, *prompts.adjective):
        if template.count("{}") != 1:
            raise InputError(f"a prompt needs exactly one {{}} for the word, got {template!r}")
    return prompts


def fill(template: str, words: Iterable[str]) -> list[str]:
    """One sentence per word; braces within a word are left alone."""
    return [template.replace("{}", word) for word in words]


def ensemble(features: Iterable[np.ndarray], unit_first: bool = True) -> np.ndarray:
    """Averages templates: text features (C, D) of each -> (C, D) unit rows.

    Args:
      features: arrays (C, D), one per template; read one after the other, so that a generator need
        not hold them all.
      unit_first: whether each feature is scaled to unit length first, as in almost all CLIP
        programs; CSP averages the outputs of the text tower.
    """
    parts = (unit_rows(part) if unit_first else part for part in map(np.asarray, features))
    return unit_rows(functools.reduce(operator.add, parts))


def _templates(value: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(value, str):
        return tuple(value)
    if value.startswith("file:"):
        return tuple(_lines(value.removeprefix("file:")))
    return (value,) if value else ()


def _lines(path: str) -> list[str]:
    try:
        lines = Path(path).expanduser().read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the prompts in {path}: {error}") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise InputError(f"{path} has no prompt in it")
    return lines
