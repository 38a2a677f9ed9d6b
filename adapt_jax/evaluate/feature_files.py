"""Evaluating outputs that some other program made: npz files of features and logits.

    python -m adapt_jax.evaluate --from_features=DIR --workdir=OUT [--detectors=all]

DIR holds `train.npz`, `id.npz`, one `GROUP/NAME.npz` per OOD set (near/cifar100.npz), and where
there are such: `val.npz` (held-out ID), `ood_val.npz` (for a search), `shifted/NAME.npz`
(covariate-shifted ID) and `head.npz` (the classifier: `kernel` (D, C) and `bias` (C,), or
PyTorch's `weight` (C, D)). Every other file has `features` (N, D) and, where known, `logits`
(N, C), `labels` (N,) integers and `names` (N,) strings. Pickled arrays are not read.
"""

import hashlib
import pathlib
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import ID, OOD_VAL, SHIFTED, VAL
from adapt_jax.detectors import Head, Outputs

_COMPARED = 256  # rows


class Found(NamedTuple):
    """One set as far as results need it; there are no images."""

    outputs: Outputs
    names: tuple[str, ...]
    images: None = None

    @property
    def labels(self):
        """(N,) or None."""
        return self.outputs.labels


def load(folder: str) -> tuple[dict[str, Found], dict[str, str]]:
    """Every set by name, and the group of every OOD set.

    Raises:
      InputError: see `evaluate_features`.
    """
    root = pathlib.Path(folder).expanduser()
    for name in ("train", "id"):
        if not (root / f"{name}.npz").is_file():
            raise InputError(
                f"{root / name}.npz does not exist; --from_features wants train.npz, id.npz and "
                "GROUP/NAME.npz for every OOD set"
            )
    paths = {p.stem: p for p in sorted(root.glob("*.npz")) if p.stem != "head"}
    groups: dict[str, str] = {}
    order = ("near", "far")  # as tables have them
    for path in sorted(root.glob("*/*.npz"), key=lambda p: (_place(p.parent.name, order), p)):
        if path.stem in paths:
            raise InputError(f"two sets are called {path.stem!r}: {paths[path.stem]} and {path}")
        paths[path.stem], groups[path.stem] = path, path.parent.name
    unknown = paths.keys() - groups.keys() - {"train", ID, VAL, OOD_VAL}
    if unknown:
        raise InputError(
            f"{root / min(unknown)}.npz: put OOD sets into near/, far/ or another group"
        )
    if not set(groups.values()) - {SHIFTED}:
        raise InputError(f"{root} has no OOD set; put some into near/NAME.npz or far/NAME.npz")
    sets = {name: read(path) for name, path in paths.items()}
    first = sets["train"].outputs
    for name, found in sets.items():
        if found.outputs.features.shape[1] != first.features.shape[1]:
            raise InputError(
                f"{paths[name]}: features have {found.outputs.features.shape[1]} dimensions, those "
                f"of train.npz {first.features.shape[1]}"
            )
        if (found.outputs.logits is None) != (first.logits is None):
            raise InputError(f"{paths[name]} and train.npz: either both or neither have logits")
    return sets, groups


def read(path: pathlib.Path) -> Found:
    """One file of outputs.

    Raises:
      InputError: it is damaged, or its arrays do not fit each other.
    """
    arrays = _arrays(path)
    if "features" not in arrays:
        raise InputError(f"{path} has no array 'features'; it has: {', '.join(arrays) or 'none'}")
    features, logits, labels = (arrays.get(k) for k in ("features", "logits", "labels"))
    wrong = features.ndim != 2 or not len(features)
    wrong |= logits is not None and (logits.ndim != 2 or len(logits) != len(features))
    wrong |= labels is not None and labels.shape != (len(features),)
    if wrong:
        shapes = ", ".join(f"{k} {v.shape}" for k, v in arrays.items())
        raise InputError(
            f"{path}: expected features (N, D), logits (N, C) and labels (N,), got {shapes}"
        )
    if labels is not None:
        if not np.issubdtype(labels.dtype, np.integer):
            raise InputError(f"{path}: labels must be integers, got {labels.dtype}")
        if (labels < 0).any() and (labels >= 0).any():
            row = int(np.argmax(labels < 0))
            raise InputError(f"{path}: label {labels[row]} in row {row}; classes are 0, 1, ...")
        labels = labels.astype(np.int32) if labels[0] >= 0 else None  # OOD lists have -1
    names = arrays.get("names", np.arange(len(features)))
    if names.shape != (len(features),):
        raise InputError(f"{path}: expected one name per row, got {names.shape}")
    return Found(Outputs(features, logits, labels), tuple(map(str, names)))


def load_head(folder: str, train: Outputs) -> Head | None:
    """The classifier in head.npz; None without that file.

    Raises:
      InputError: it is damaged, or does not make the training set's logits of its features.
    """
    width = train.features.shape[1]
    path = pathlib.Path(folder).expanduser() / "head.npz"
    if not path.is_file():
        return None
    arrays = _arrays(path)
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


def digest(sets: dict[str, Found]) -> str:
    """SHA-256 of all features and logits: what stands in for a checkpoint's."""
    sha = hashlib.sha256()
    for name in sorted(sets):
        for array in sets[name].outputs:
            if array is not None:
                sha.update(f"{name} {array.shape} {array.dtype};".encode())
                sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def _place(group: str, order: Sequence[str]) -> int:
    return order.index(group) if group in order else len(order)


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise InputError(f"{path} cannot be read ({e}); write it again with numpy.savez") from e
