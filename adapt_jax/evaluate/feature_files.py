"""Evaluating outputs that some other program made: npz files of features and logits.

    python -m adapt_jax.evaluate --from_features=DIR --workdir=OUT [--detectors=all]

DIR holds `train.npz`, `id.npz`, one `GROUP/NAME.npz` per OOD set (near/cifar100.npz), and where
there are such: `val.npz` (held-out ID), `ood_val.npz` (for a search), `shifted/NAME.npz`
(covariate-shifted ID) and `head.npz` (the classifier: `kernel` (D, C) and `bias` (C,), or
PyTorch's `weight` (C, D)). Every other file has `features` (N, D) and, where known, `logits`
(N, C), `labels` (N,) integers and `names` (N,) strings. Pickled arrays are not read.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data import classes, feature_folders
from adapt_jax.data.classes import Classes
from adapt_jax.data.feature_folders import Files
from adapt_jax.data.set_names import ID, OOD_VAL, VAL, id_side
from adapt_jax.detectors import Head, Outputs

_COMPARED = 256  # rows


class OutputSet(NamedTuple):
    """One set as far as results need it; there are no images."""

    outputs: Outputs
    names: tuple[str, ...]
    images: None = None

    @property
    def labels(self):
        """(N,) or None."""
        return self.outputs.labels


class Loaded(NamedTuple):
    """What a folder holds.

    sets: every set by name. files: what they are from. head: the classifier, if it is there.
    label_rules: how the labels of each ID set were matched with the classes, see `data.classes`.
    """

    sets: dict[str, OutputSet]
    files: Files
    head: Head | None
    label_rules: dict[str, str]

    @property
    def wide(self) -> bool:
        """Whether any set is of float64."""
        arrays = (x for one in self.sets.values() for x in one.outputs[:2] if x is not None)
        return any(x.dtype == np.float64 for x in arrays)


def load(folder: str) -> Loaded:
    """Reads a folder of outputs.

    Args:
      folder: folder of npz files, laid out as described at the head of this file.

    Raises:
      InputError: a file is missing, damaged, or does not fit the others.
    """
    files = feature_folders.walk(
        folder, needed=("train", ID), optional=(VAL, OOD_VAL), beside=("head",)
    )
    sets = {name: read(path) for name, path in files.paths.items()}
    first = sets["train"].outputs
    for name, output_set in sets.items():
        _check_alike(files.paths[name], output_set.outputs, first)
    head = _head(pathlib.Path(folder).expanduser() / "head.npz", first)
    own, rules = _classes(files.paths["train"], first, head), {}
    for name in ("train", VAL, *id_side(files.groups)):
        if name in sets:
            path, outputs = files.paths[name], sets[name].outputs
            labels, rules[name], _ = classes.match_numbers(str(path), outputs.labels, own)
            sets[name] = sets[name]._replace(outputs=outputs._replace(labels=labels))
    return Loaded(sets, files, head, rules)


def _check_alike(path: pathlib.Path, outputs: Outputs, train: Outputs) -> None:
    """Raises InputError unless the outputs are as wide as those of train.npz."""
    if (outputs.logits is None) != (train.logits is None):
        raise InputError(f"{path} and train.npz: either both or neither have logits")
    for ours, theirs, what in zip(
        outputs[:2], train[:2], ("features have {} dimensions", "logits are of {} classes")
    ):
        if ours is not None and ours.shape[1] != theirs.shape[1]:
            raise InputError(
                f"{path}: {what.format(ours.shape[1])}, those of train.npz {theirs.shape[1]}"
            )


def _classes(path: pathlib.Path, train: Outputs, head: Head | None) -> Classes | None:
    """The ID classes: columns of the logits, or of the head, else what train.npz has."""
    if train.logits is not None:
        return classes.numbered(train.logits.shape[1], f"{path} by its logits")
    if head is not None:
        return classes.numbered(len(head.bias), f"{path.with_name('head.npz')}")
    if train.labels is None:
        return None
    present = tuple(map(str, np.unique(train.labels)))
    return classes.named(present, str(path))


def read(path: pathlib.Path) -> OutputSet:
    """One file of outputs.

    Args:
      path: path of the npz file.

    Raises:
      InputError: it is damaged, or its arrays do not fit each other.
    """
    arrays = feature_folders.arrays(path)
    features, logits = feature_folders.rows(path, arrays, "features"), None
    if "logits" in arrays:
        logits = feature_folders.rows(path, arrays, "logits")
        if len(logits) != len(features):
            raise InputError(f"{path}: expected logits ({len(features)}, C), got {logits.shape}")
    labels = feature_folders.labels_of(path, arrays, len(features))
    names = feature_folders.names_of(path, arrays, len(features))
    return OutputSet(Outputs(features, logits, labels), names)


def _head(path: pathlib.Path, train: Outputs) -> Head | None:
    """The classifier in head.npz; None without that file.

    Raises:
      InputError: it is damaged, or does not make the training set's logits of its features.
    """
    if not path.is_file():
        return None
    width = train.features.shape[1]
    arrays = feature_folders.arrays(path)
    kernel = arrays.get("kernel", arrays["weight"].T if "weight" in arrays else None)
    bias = arrays.get("bias")
    if kernel is None or bias is None or kernel.ndim != 2 or kernel.shape != (width, len(bias)):
        shapes = ", ".join(f"{k} {v.shape}" for k, v in arrays.items())
        raise InputError(
            f"{path}: expected kernel ({width}, C) or weight (C, {width}), and bias (C,); got "
            f"{shapes}"
        )
    kernel = feature_folders.numbers(path, kernel, "kernel or weight")
    bias = feature_folders.numbers(path, bias, "bias")
    if train.logits is not None:
        rows = train.features[:_COMPARED].astype(np.float64)
        made, given = rows @ kernel + bias, train.logits[:_COMPARED]
        if made.shape != given.shape or np.abs(made - given).max() > 0.02 * np.abs(given).max():
            raise InputError(
                f"{path} does not make the logits of train.npz from its features; it must be the "
                "last layer of the same network, classes in the same order, no temperature"
            )
    return Head(kernel, bias)


def sha256(sets: dict[str, OutputSet]) -> str:
    """SHA-256 of all features, logits and labels: what stands in for that of a checkpoint."""
    return feature_folders.sha256(
        (f"{name} ", array)
        for name in sorted(sets)
        for array in sets[name].outputs
        if array is not None
    )
