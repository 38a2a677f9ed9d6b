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
from adapt_jax.data import feature_folders
from adapt_jax.data.feature_folders import Files
from adapt_jax.data.set_names import ID, OOD_VAL, VAL
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


def load(folder: str) -> tuple[dict[str, OutputSet], Files]:
    """Every set by name, and the files they are from.

    Args:
      folder: as the head of this file says.

    Raises:
      InputError: a file is missing, damaged, or does not fit the others.
    """
    files = feature_folders.walk(
        folder, needed=("train", ID), optional=(VAL, OOD_VAL), beside=("head",)
    )
    sets = {name: read(path) for name, path in files.paths.items()}
    first = sets["train"].outputs
    for name, found in sets.items():
        if found.outputs.features.shape[1] != first.features.shape[1]:
            raise InputError(
                f"{files.paths[name]}: features have {found.outputs.features.shape[1]} dimensions, "
                f"those of train.npz {first.features.shape[1]}"
            )
        if (found.outputs.logits is None) != (first.logits is None):
            raise InputError(
                f"{files.paths[name]} and train.npz: either both or neither have logits"
            )
    return sets, files


def read(path: pathlib.Path) -> OutputSet:
    """One file of outputs.

    Args:
      path: the npz file.

    Raises:
      InputError: it is damaged, or its arrays do not fit each other.
    """
    arrays = feature_folders.arrays(path)
    features, logits = feature_folders.rows(path, arrays, "features"), arrays.get("logits")
    if logits is not None and (logits.ndim != 2 or len(logits) != len(features)):
        raise InputError(f"{path}: expected logits ({len(features)}, C), got {logits.shape}")
    labels = feature_folders.labels_of(path, arrays, len(features))
    names = feature_folders.names_of(path, arrays, len(features))
    return OutputSet(Outputs(features, logits, labels), names)


def load_head(folder: str, train: Outputs) -> Head | None:
    """The classifier in head.npz; None without that file.

    Raises:
      InputError: it is damaged, or does not make the training set's logits of its features.
    """
    width = train.features.shape[1]
    path = pathlib.Path(folder).expanduser() / "head.npz"
    if not path.is_file():
        return None
    arrays = feature_folders.arrays(path)
    kernel = arrays.get("kernel", arrays["weight"].T if "weight" in arrays else None)
    bias = arrays.get("bias")
    if kernel is None or bias is None or kernel.ndim != 2 or kernel.shape != (width, len(bias)):
        shapes = ", ".join(f"{k} {v.shape}" for k, v in arrays.items())
        raise InputError(
            f"{path}: expected kernel ({width}, C) or weight (C, {width}), and bias (C,); got "
            f"{shapes}"
        )
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
