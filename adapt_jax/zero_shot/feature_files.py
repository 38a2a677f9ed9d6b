"""Embeddings that some other program made, for `python -m adapt_jax.zero_shot --from_features=DIR`.

DIR holds the text bank, `text.npz` with `labels` (C, D) and, where detectors want some, `negatives`
(M, D) in the order mining gave them (or labels.npy and negatives.npy); `id.npz`; one
`GROUP/NAME.npz` per OOD set (far/textures.npz); and for a full-spectrum evaluation
`shifted/NAME.npz`. Each of these has `embeddings` (N, D) and, where known, `labels` (N,) integers
and `names` (N,) strings; text.npz may have `class_names` (C,) and `words` (M,). For detectors that
start from noise images (TANL), `noise.npz` has their `embeddings` (N, D). Rows need not be
normalised. Pickled arrays are not read.
"""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data import classes, feature_folders
from adapt_jax.data.set_names import ID, id_side
from adapt_jax.inference.clip_encoder import unit
from adapt_jax.inference.zero_shot_files import Text
from adapt_jax.zero_shot.image_features import ImageSet
from adapt_jax.zero_shot_detectors import TextBank


class Embeddings(NamedTuple):
    """What a folder holds.

    text: the text bank.
    sets: every set by name, "id" first.
    groups: the group of every set but "id".
    noise: the noise images as a set, None where there is no noise.npz.
    label_rules: how the labels of each ID set were matched with the classes, see `data.classes`.
    """

    text: Text
    sets: dict[str, ImageSet]
    groups: dict[str, str]
    noise: ImageSet | None
    label_rules: dict[str, str]

    def ood(self) -> str:
        """The OOD sets, as a config says it."""
        return ",".join(f"{group}/{name}" for name, group in self.groups.items())

    def sha256(self) -> str:
        """SHA-256 of all embeddings: what stands in for that of a network."""
        noise = () if self.noise is None else (self.noise,)
        rows = (
            *self.text.bank,
            *(image_set.embeddings for image_set in (*noise, *self.sets.values())),
        )
        return feature_folders.sha256(("", array) for array in rows)


def load(folder: str, *, full_spectrum: bool) -> Embeddings:
    """Reads a folder of embeddings.

    Args:
      folder: folder of npz files, laid out as described at the head of this file.
      full_spectrum: whether covariate-shifted ID sets count as ID; else they are left out.

    Raises:
      InputError: a file is missing, damaged, or does not fit the others.
    """
    text = _text(pathlib.Path(folder).expanduser())
    width = text.bank.labels.shape[1]
    files = feature_folders.walk(folder, needed=(ID,), optional=(), beside=("text", "noise"))
    groups = files.evaluated(full_spectrum)
    sets = {name: _images(files.paths[name], width) for name in (ID, *groups)}
    file = pathlib.Path(folder).expanduser() / "noise.npz"
    noise = _images(file, width) if file.is_file() else None
    own, rules = classes.numbered(len(text.class_names), "the text bank"), {}
    for name in id_side(groups):
        place, labels = str(files.paths[name]), sets[name].labels
        labels, rules[name], _ = classes.match_numbers(place, labels, own)
        sets[name] = sets[name]._replace(labels=labels)
    return Embeddings(text, sets, groups, noise, rules)


def _text(root: pathlib.Path) -> Text:
    path = root / "text.npz"
    if path.is_file():
        return read_text(path)
    if (root / "labels.npy").is_file():
        path = root / "labels.npy"
        arrays = feature_folders.arrays(path)
        if (root / "negatives.npy").is_file():
            arrays |= feature_folders.arrays(root / "negatives.npy")
    else:
        raise InputError(
            f"{path} does not exist; it holds the text bank: labels (C, D) and negatives (M, D)"
        )
    return _bank(path, arrays)


def read_text(path: pathlib.Path) -> Text:
    """The text bank in a file laid out as text.npz; rows get unit length.

    Raises:
      InputError: the file is missing or damaged, or its arrays do not fit each other.
    """
    if not path.is_file():
        raise InputError(f"there is no text bank {path}: labels (C, D) and negatives (M, D)")
    return _bank(path, feature_folders.arrays(path))


def _bank(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> Text:
    if "labels" not in arrays:
        raise InputError(f"{path} has no array 'labels'; it has: {', '.join(arrays) or 'none'}")
    labels = arrays["labels"]
    negatives = arrays.get("negatives", labels[:0] if labels.ndim else labels)
    rows = labels.ndim == negatives.ndim == 2 and len(labels)
    if not rows or labels.shape[1] != negatives.shape[1]:
        raise InputError(
            f"{path}: expected labels (C, D) and negatives (M, D), got {labels.shape} and "
            f"{negatives.shape}"
        )
    names, words = (
        tuple(map(str, arrays.get(k, range(len(rows)))))
        for k, rows in (("class_names", labels), ("words", negatives))
    )
    if (len(names), len(words)) != (len(labels), len(negatives)):
        raise InputError(
            f"{path}: {len(names)} class_names and {len(words)} words for {len(labels)} labels "
            f"and {len(negatives)} negatives"
        )
    labels = feature_folders.numbers(path, labels, "labels")
    negatives = feature_folders.numbers(path, negatives, "negatives")
    bank = TextBank(unit(labels, f"{path}: labels"), unit(negatives, f"{path}: negatives"))
    return Text(bank, names, words)


def _images(path: pathlib.Path, width: int) -> ImageSet:
    arrays = feature_folders.arrays(path)
    rows = feature_folders.rows(path, arrays, "embeddings")
    if rows.shape[1] != width:
        raise InputError(f"{path}: embeddings must be (N, {width}), as the text is; {rows.shape}")
    labels = feature_folders.labels_of(path, arrays, len(rows))
    names = feature_folders.names_of(path, arrays, len(rows))
    return ImageSet(unit(rows, str(path)), labels, names)
