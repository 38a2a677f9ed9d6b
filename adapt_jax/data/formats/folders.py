"""Image files on disk: `folder:` (class sub-folders, or flat) and `list:` (OpenOOD image lists)."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.core.image_files import opened
from adapt_jax.data import classes, contents
from adapt_jax.data.base import Listing, Source, note, usable_labels
from adapt_jax.data.decode import SUFFIXES
from adapt_jax.data.download import catalogue


def check_folder(source: Source) -> None:
    """Raises InputError unless the folder exists."""
    if not _path(source.place).is_dir():
        raise InputError(
            f"{source.text!r}: there is no folder {source.place}{catalogue.hint(source.place)}"
        )


def open_folder(source: Source, image_size: int, cache_dir=None) -> Listing:
    """Every image below a folder, by suffix; hidden files and `__MACOSX` are ignored.

    Each sub-folder is a class (sorted by name, or number), with the images anywhere below it sorted
    by path.
    """
    root = _path(source.place)
    folders = classes.in_order([entry.name for entry in os.scandir(root) if _is_folder(entry)])
    others: Counter[str] = Counter()
    flat = sorted(entry.name for entry in os.scandir(root) if _is_image(entry, others))
    per_class = [sorted(_walk(root / name, f"{name}/", (), others)) for name in folders]
    names = tuple(flat) + tuple(name for group in per_class for name in group)
    if not names:
        raise InputError(
            f"{source.text!r}: no image in {root}; looked for files ending in "
            f"{', '.join(sorted(SUFFIXES))}{note(_passed_over(others), 0)}"
        )
    numbers = [*[-1] * len(flat), *np.repeat(range(len(folders)), [len(g) for g in per_class])]
    labels = np.array(numbers, np.int32) if any(per_class) else None
    flaw = _flaw_of_folders(source, flat, folders, labels is None)
    passed = _passed_over(others)
    return listing(names, root, labels, flaw, tuple(folders), cache_dir=cache_dir, passed=passed)


def _flaw_of_folders(source: Source, flat: list[str], folders: list[str], no_class: bool) -> str:
    """Why the sub-folders of a folder are no classes; "" if they are."""
    if flat:
        beside = "" if no_class else " beside its sub-folders"
        return (
            f"has images{beside} that belong to no class (such as {flat[0]}); give every class a "
            "sub-folder of its own"
        )
    splits = [name for name in folders if name.lower() in classes.SPLITS]
    if len(splits) > 1 or splits == folders:
        first = min(splits, key=lambda name: not name.lower().startswith("train"))
        return (
            f"has the splits of a data set as its sub-folders ({', '.join(splits)}), which are no "
            f"classes; name one of them, such as folder:{source.place.rstrip('/')}/{first}"
        )
    numbers = classes.numbers_of(folders) or ()
    if len(set(numbers)) < len(numbers):
        twice = [f for f, n in zip(folders, numbers) if numbers.count(n) > 1]
        return f"has the class folders {twice[0]!r} and {twice[1]!r}, which are one number"
    return ""


def check_list(source: Source) -> None:
    """Raises InputError unless the list and its root exist."""
    if not _path(source.place).is_file():
        raise InputError(
            f"{source.text!r}: there is no file {source.place}{catalogue.hint(source.place)}"
        )
    if not _root(source).is_dir():
        hint = catalogue.hint(_first_image(source))
        raise InputError(f"{source.text!r}: root {source.root} is not a folder{hint}")


def open_list(source: Source, image_size: int, cache_dir=None) -> Listing:
    """The images of an OpenOOD list: lines `path label`, label -1 where there is no class.

    Paths start at the root option (default: the list's folder) and may be absolute, lead upwards,
    and contain spaces. Order and repetitions are kept; empty lines are skipped.
    """
    root, names, labels = _root(source), [], []
    lines = _path(source.place).read_text("utf-8-sig", "surrogateescape").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{source.place}, line {number}"
        name, _, label = line.strip().replace("\t", " ").rpartition(" ")
        try:
            labels.append(np.int32(int(label)))
        except (ValueError, OverflowError) as error:
            raise InputError(f"{where}: expected `path label`, got {line[:200]!r}") from error
        if not name:
            raise InputError(f"{where}: expected `path label`, got {line[:200]!r}")
        names.append(name.rstrip())
        if not (root / names[-1]).is_file():
            hint = catalogue.hint(root / names[-1]) or "; root= says where the paths start"
            raise InputError(f"{where}: there is no file {root / names[-1]}{hint}")
    if not names:
        raise InputError(f"{source.text!r}: the list has no image in it")
    usable = usable_labels(np.array(labels, np.int32))
    return listing(tuple(names), root, *usable, cache_dir=cache_dir)


def listing(
    names: tuple[str, ...], root: Path, labels, flaw: str, class_names=(), *, cache_dir, passed=""
) -> Listing:
    """The listing of image files.

    Args:
      names: paths of the files, relative to `root`.
      root: folder in which they are.
      labels, flaw, class_names: fields of `Listing`.
      cache_dir: folder in which their hashes are kept, see `files.cache_folder`.
      passed: `passed_over` of `Listing`.
    """
    root = root.absolute()

    def identity(indices: np.ndarray) -> str:
        digests = contents.sha256s([path(i) for i in indices], cache_dir)
        return "\n".join(f"{names[i]}\0{digest}" for i, digest in zip(indices, digests))

    def path(i: int) -> str:
        return str(root / names[i])

    def image(i: int) -> Image.Image | np.ndarray:
        return opened(path(i))

    return Listing(
        names, labels, class_names, image, flaw, identity=identity, encoded=path, passed_over=passed
    )


def image_names(folder: Path) -> list[str]:
    """Relative paths of the images anywhere below a folder, sorted."""
    return sorted(_walk(folder, "", (), Counter()))


def _walk(folder: Path, prefix: str, above: tuple[str, ...], others: Counter[str]) -> Iterator[str]:
    """Relative paths of the images below a folder; links are followed, but never in a circle.

    `others` counts the files that are passed over, by suffix.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in os.scandir(folder):
        if _is_image(entry, others):
            yield prefix + entry.name
        elif _is_folder(entry):
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", (*above, real), others)


def _is_image(entry: os.DirEntry, others: Counter[str]) -> bool:
    if entry.name.startswith(".") or not entry.is_file():
        return False
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix not in SUFFIXES:
        others[suffix] += 1
    return suffix in SUFFIXES


def _passed_over(others: Counter[str]) -> str:
    """The files a folder has beside images, in words; "" without any."""
    if not others:
        return ""
    kinds = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in others.most_common()]
    more = f" and {len(kinds) - 5} more kinds" if len(kinds) > 5 else ""
    return f"passed over {', '.join(kinds[:5])}{more}"


def _is_folder(entry: os.DirEntry) -> bool:
    return entry.name != "__MACOSX" and not entry.name.startswith(".") and entry.is_dir()


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))


def _first_image(source: Source) -> Path:
    """Where the first image of a list would be; a hint is worth no more than one line."""
    with open(_path(source.place), errors="replace") as file:
        return _root(source) / file.readline().strip().rpartition(" ")[0]


def _root(source: Source) -> Path:
    return _path(source.root) if source.root else _path(source.place).parent
