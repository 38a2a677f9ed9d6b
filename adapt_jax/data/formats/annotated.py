"""Image sets whose authors say in files of their own which image is of which class and split.

    cub:DIR/test          CUB-200-2011: images.txt, train_test_split.txt, classes.txt
    cars:DIR/test         Stanford Cars: devkit/cars_meta.mat, cars_test_annos_withlabels.mat
    food101:DIR/test      Food-101: meta/test.txt, meta/classes.txt, meta/labels.txt
    pets:DIR/test         Oxford-IIIT Pets: annotations/test.txt
    waterbirds:DIR/test   WaterBirds: metadata.csv

DIR is the folder that has these files, laid out as the authors distribute it. The names of the
classes are those of the files, but WaterBirds', which has none: NegLabel's words.
"""

import csv
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data.base import Listing, Source
from adapt_jax.data.download import catalogue
from adapt_jax.data.formats import arrays, folders

_WATERBIRDS = ("landbirds", "waterbirds")  # XueJiang16/NegLabel, class_names.py; y is 0, 1


class _Images(NamedTuple):
    """Paths below the set's folder, labels (N,) that index class_names."""

    names: list[str]
    labels: list[int]
    class_names: tuple[str, ...]


class _Layout(NamedTuple):
    """How a set is laid out.

    files: split -> the files that say what is in it.
    read: (source, folder, split) -> its images.
    """

    files: Mapping[str, tuple[str, ...]]
    read: Callable[[Source, Path, str], _Images]


def check(source: Source) -> None:
    """Raises InputError unless the files that say what is in the split are there."""
    folder, split = _parts(source)
    for name in _LAYOUTS[source.kind].files[split]:
        _check_file(source, folder / name)


def open_split(source: Source, image_size: int, cache_dir=None) -> Listing:
    """The images of one split in the order of its file, with labels and names of the classes.

    Raises:
      InputError: a file does not say what it should, or an image is not there.
    """
    folder, split = _parts(source)
    files = ", ".join(_LAYOUTS[source.kind].files[split])
    try:
        images = _LAYOUTS[source.kind].read(source, folder, split)
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{source.text!r}: {files} in {folder} are not as they are distributed ({error!r})"
        ) from error
    labels = np.array(images.labels, np.int32)
    count = len(images.class_names)
    if not images.names or labels.min() < 0 or labels.max() >= count:
        raise InputError(
            f"{source.text!r}: {files} in {folder} name {len(images.names)} images of {count} "
            "classes, and not all of these are among them; get the files again"
        )
    for name in images.names:
        _check_file(source, folder / name)
    return folders.listing(
        tuple(images.names), folder, labels, "", images.class_names, cache_dir=cache_dir
    )


def _parts(source: Source) -> tuple[Path, str]:
    """The folder of the set, and the split."""
    path, splits = Path(os.path.expanduser(source.place)), _LAYOUTS[source.kind].files
    if path.name not in splits:
        forms = " or ".join(f"{source.kind}:DIR/{split}" for split in splits)
        raise InputError(f"{source.text!r} names no split; write {forms}")
    return path.parent, path.name


def _check_file(source: Source, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{source.text!r}: there is no file {path}{catalogue.hint(path)}")


def _lines(path: Path) -> list[str]:
    return [line for line in map(str.strip, path.read_text("utf-8-sig").splitlines()) if line]


def _cub(source: Source, folder: Path, split: str) -> _Images:
    paths, is_training, classes = (
        dict(line.split(maxsplit=1) for line in _lines(folder / name))
        for name in _LAYOUTS["cub"].files[split]
    )
    place = {name: i for i, name in enumerate(classes.values())}
    wanted = "1" if split == "train" else "0"
    names = [path for number, path in paths.items() if is_training[number] == wanted]
    labels = [place[name.partition("/")[0]] for name in names]
    words = tuple(name.partition(".")[2] for name in place)  # "001.Black_footed_Albatross"
    return _Images([f"images/{name}" for name in names], labels, words)


def _cars(source: Source, folder: Path, split: str) -> _Images:
    meta, annotations = _LAYOUTS["cars"].files[split]

    def variable(file: str, name: str) -> np.ndarray:
        variables = arrays.mat_variables(source, folder / file, (name,), squeeze=True)
        return np.atleast_1d(variables[name])

    rows = variable(annotations, "annotations")
    labels = [int(number) - 1 for number in rows["class"]]
    words = tuple(map(str, variable(meta, "class_names")))
    return _Images([f"cars_{split}/{file}" for file in rows["fname"]], labels, words)


def _food101(source: Source, folder: Path, split: str) -> _Images:
    names, classes, words = (_lines(folder / f) for f in _LAYOUTS["food101"].files[split])
    if len(classes) != len(words):
        raise ValueError(f"{len(classes)} classes and {len(words)} labels")
    place = {name: i for i, name in enumerate(classes)}
    labels = [place[name.partition("/")[0]] for name in names]
    return _Images([f"images/{name}.jpg" for name in names], labels, tuple(words))


def _pets(source: Source, folder: Path, split: str) -> _Images:
    (file,) = _LAYOUTS["pets"].files[split]
    rows = [line.split() for line in _lines(folder / file)]
    labels = [int(row[1]) - 1 for row in rows]
    words = {label: row[0].rpartition("_")[0] for row, label in zip(rows, labels)}
    names = [f"images/{row[0]}.jpg" for row in rows]
    return _Images(names, labels, tuple(words[i] for i in range(len(words))))


def _waterbirds(source: Source, folder: Path, split: str) -> _Images:
    number = str(list(_LAYOUTS["waterbirds"].files).index(split))
    with (folder / "metadata.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == number]
    return _Images([row["img_filename"] for row in rows], [int(r["y"]) for r in rows], _WATERBIRDS)


_CUB = ("images.txt", "train_test_split.txt", "classes.txt")
_FOOD = ("meta/classes.txt", "meta/labels.txt")
_LAYOUTS = {
    "cub": _Layout({"train": _CUB, "test": _CUB}, _cub),
    "cars": _Layout(
        {
            "train": ("devkit/cars_meta.mat", "devkit/cars_train_annos.mat"),
            "test": ("devkit/cars_meta.mat", "cars_test_annos_withlabels.mat"),
        },
        _cars,
    ),
    "food101": _Layout(
        {split: (f"meta/{split}.txt", *_FOOD) for split in ("train", "test")}, _food101
    ),
    "pets": _Layout(
        {split: (f"annotations/{split}.txt",) for split in ("trainval", "test")}, _pets
    ),
    "waterbirds": _Layout(dict.fromkeys(("train", "val", "test"), ("metadata.csv",)), _waterbirds),
}
KINDS = tuple(_LAYOUTS)
