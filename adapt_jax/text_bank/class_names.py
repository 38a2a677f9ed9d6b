"""Names of the ID classes as words a text tower understands.

Short lists are here; CIFAR-100's come with the data set (`words` of its class names); ImageNet's,
cleaned by OpenAI, from a file or from an installed open_clip.
"""

import ast
import importlib.util
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from adapt_jax.core.errors import InputError

LISTS = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "digits": (
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ),
}  # fmt: skip

_OPEN_CLIP = ("zero_shot_metadata.py", "IMAGENET_CLASSNAMES")


def load(place: str | os.PathLike) -> tuple[str, ...]:
    """The names in order of the class index.

    Args:
      place: "cifar10", "digits"; "imagenet" for the list in an installed open_clip; or a file: text
        with one name a line, or .json, a list or {"0": name, ...}, where name may be [id, name].

    Raises:
      InputError: an unknown list, an unreadable file, or names that are codes (see `words`).
    """
    if place in LISTS:
        return LISTS[place]
    if place == "imagenet":
        return words(_from_open_clip())
    path = Path(place).expanduser()
    if not path.is_file():
        known = ", ".join((*LISTS, "imagenet"))
        raise InputError(f"no class names called {place!r} and no such file; known: {known}.")
    try:
        text = path.read_text("utf-8-sig")
        names = _from_json(json.loads(text)) if path.suffix == ".json" else text.splitlines()
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"cannot read class names from {place}: {error!r}.") from error
    return words([name for name in names if name.strip()])


def words(names: Sequence[str]) -> tuple[str, ...]:
    """A data set's class names with spaces for underscores, as CLIP's own examples write them.

    OpenOOD-VLM's frozen networks leave CIFAR-100's underscores in the prompts.

    Raises:
      InputError: none, or all are numbers or WordNet ids, which say nothing to a text tower.
    """
    names = tuple(name.replace("_", " ").strip() for name in names)
    if not names:
        raise InputError("there are no class names.")
    if all(re.fullmatch(r"n?\d+", name) for name in names):
        raise InputError(
            f"class names such as {names[0]!r} are codes, not words; "
            "give a file of names, one per line in the order of the classes."
        )
    return names


def _from_json(content) -> list[str]:
    if isinstance(content, dict):
        content = [content[str(i)] for i in range(len(content))]
    names = [name[-1] if isinstance(name, list) else name for name in content]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("names must be strings")
    return names


def _from_open_clip() -> Sequence[str]:
    """Reads open_clip's list without importing it, which would import torch."""
    found = importlib.util.find_spec("open_clip")
    file, variable = _OPEN_CLIP
    path = Path(found.origin).with_name(file) if found and found.origin else None
    if path and path.is_file():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == variable:
                return ast.literal_eval(node.value)
    raise InputError(
        "ImageNet's class names are not here; `pip install open_clip_torch` brings OpenAI's list "
        f"(its {variable}), or give a file with one name per line."
    )
