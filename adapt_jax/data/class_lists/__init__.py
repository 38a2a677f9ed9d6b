"""Lists of class names, which the option `only=` of a source keeps: of this folder, or a file.

A list has one name per line; lines that start with # say where it is from. Behind a WordNet id may
stand what the class is called in prompts, as `class_names=wnids:FILE` reads it.
"""

import importlib.resources
import os
import pathlib
import re
from collections.abc import Sequence

from adapt_jax.core.errors import InputError

_WITH_WORDS = re.compile(r"(n\d{8})\s.*")


def folder() -> str:
    """Where the lists that come with the package are."""
    return str(importlib.resources.files(__package__))


def known() -> tuple[str, ...]:
    """The lists that come with the package."""
    files = importlib.resources.files(__package__).iterdir()
    return tuple(sorted(f.name[:-4] for f in files if f.name.endswith(".txt")))


def names(where: str) -> tuple[str, ...]:
    """The names of a list.

    Args:
      where: name of a list of the package, or a text file.

    Raises:
      InputError: there is no such list, or it is empty or has a name twice.
    """
    if where in known():
        text = (importlib.resources.files(__package__) / f"{where}.txt").read_text()
    else:
        path = pathlib.Path(os.path.expanduser(where))
        if not path.is_file():
            raise InputError(
                f"only={where}: there is no such list of classes; it is a text file with a name "
                f"per line, or one of {', '.join(known())}"
            )
        text = path.read_text("utf-8")
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    entries = tuple(_WITH_WORDS.sub(r"\1", line) for line in lines if line)
    if not entries or len(set(entries)) < len(entries):
        raise InputError(f"only={where}: the list is empty, or has a name twice")
    return entries


def places(where: str, class_names: Sequence[str], source: str) -> list[int]:
    """Where the classes of a list stand among those of a source, in the source's order.

    Args:
      where: the list, as in `names`.
      class_names: names of the source's classes.
      source: the source, for messages.

    Raises:
      InputError: as `names`, or a class of the list is none of the source's.
    """
    wanted = names(where)
    if absent := [name for name in wanted if name not in set(class_names)]:
        raise InputError(
            f"{source!r} has no class {absent[0]}, nor {len(absent) - 1} others of the list {where}"
            if len(absent) > 1
            else f"{source!r} has no class {absent[0]} of the list {where}"
        )
    return [i for i, name in enumerate(class_names) if name in set(wanted)]
