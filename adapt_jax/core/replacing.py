"""Replaces old files by new ones only when all of the new ones are written.

A full disk, a mistake or a kill leaves the old ones. One program at a time may do this to a folder.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from adapt_jax.core.files import TEMPORARY, sync, sync_below

_NEW, _COMPLETE = f".new{TEMPORARY}", f".complete{TEMPORARY}"


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place once the block has filled it.

    What a killed program left of an earlier replacement is tidied up first.
    """
    new, former = (target.with_name(f".{target.name}.{x}{TEMPORARY}") for x in ("new", "former"))
    target.parent.mkdir(parents=True, exist_ok=True)
    if former.exists() and not target.exists():
        former.rename(target)  # killed between the two renames below
    for leftover in (new, former):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir()
    try:
        yield new
        sync_below(new)
        if target.exists():
            target.rename(former)
        new.rename(target)
        sync(target.parent)
    finally:
        if former.exists() and not target.exists():
            former.rename(target)
        for leftover in (new, former):
            shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def entries(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """A new folder whose files and folders take the places of those of the same names in `folder`.

    Args:
      folder: where the old ones are.
      names: all that are replaced; those that the block does not write are removed from `folder`.
    """
    finish(folder)
    new = folder / _NEW
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        sync_below(new)
        new.rename(folder / _COMPLETE)
        for name in names:
            if not (folder / _COMPLETE / name).exists():
                _remove(folder / name)
        finish(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def finish(folder: Path) -> None:
    """Completes a replacement of `entries` in which a program was killed; without one, nothing."""
    complete = folder / _COMPLETE
    if not complete.is_dir():
        return
    for entry in sorted(complete.iterdir()):
        if entry.is_dir():
            _remove(folder / entry.name)
        entry.replace(folder / entry.name)
    complete.rmdir()
    sync(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
