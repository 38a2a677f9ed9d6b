"""Embeddings that some other program made, for `python -m adapt_jax.zero_shot --from_features=DIR`.

DIR holds the text bank, `text.npz` with `labels` (C, D) and, where detectors want some, `negatives`
(M, D) in the order mining gave them (or labels.npy and negatives.npy); `id.npz`; one
`GROUP/NAME.npz` per OOD set (far/textures.npz); and for a full-spectrum evaluation
`shifted/NAME.npz`. Each of these has `embeddings` (N, D) and, where known, `labels` (N,) integers
and `names` (N,) strings; text.npz may have `class_names` (C,) and `words` (M,). For detectors that
start from noise images (TANL), `noise.npz` has their `embeddings` (N, D). Rows need not be
normalised. Pickled arrays are not read.
"""

import hashlib
import pathlib
import zipfile

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import ID
from adapt_jax.zero_shot.encoder import unit
from adapt_jax.zero_shot.image_features import ImageSet
from adapt_jax.zero_shot.text_features import Text
from adapt_jax.zero_shot_detectors import TextBank

_ORDER = ("near", "far")  # as tables have them


def load(
    folder: str,
) -> tuple[Text, np.ndarray | None, dict[str, ImageSet], dict[str, str]]:
    """The text bank, noise, every set by name, "id" first, and the group of the others.

    Noise is None where there is no noise.npz.

    Raises:
      InputError: a file is missing, damaged, or does not fit the others.
    """
    root = pathlib.Path(folder).expanduser()
    text = _text(root)
    width = text.bank.labels.shape[1]
    if not (root / "id.npz").is_file():
        raise InputError(
            f"{root / 'id.npz'} does not exist; --from_features wants text.npz, id.npz and "
            "GROUP/NAME.npz for every OOD set"
        )
    paths, groups = {ID: root / "id.npz"}, {}
    for path in sorted(root.glob("*/*.npz"), key=_place):
        if path.stem in paths:
            raise InputError(f"two sets are called {path.stem!r}: {paths[path.stem]} and {path}")
        paths[path.stem], groups[path.stem] = path, path.parent.name
    stray = {p.stem for p in root.glob("*.npz")} - {ID, "text", "noise"}
    if stray:
        raise InputError(f"{root / min(stray)}.npz: put OOD sets into near/, far/ or another group")
    if not groups:
        raise InputError(f"{root} has no OOD set; put some into near/NAME.npz or far/NAME.npz")
    sets = {name: _images(path, width) for name, path in paths.items()}
    file = root / "noise.npz"
    noise = _images(file, width).embeddings if file.is_file() else None
    labels = sets[ID].labels
    if labels is not None and labels.max() >= len(text.class_names):
        raise InputError(
            f"{paths[ID]} has the label {labels.max()}, the text bank only "
            f"{len(text.class_names)} labels; they are numbered alike, from 0"
        )
    return text, noise, sets, groups


def digest(text: Text, noise: np.ndarray | None, sets: dict[str, ImageSet]) -> str:
    """SHA-256 of all embeddings: what stands in for a network's."""
    sha = hashlib.sha256()
    for rows in (
        *text.bank,
        *([] if noise is None else [noise]),
        *(found.embeddings for found in sets.values()),
    ):
        sha.update(f"{rows.shape} {rows.dtype};".encode())
        sha.update(np.ascontiguousarray(rows).data)
    return sha.hexdigest()


def _text(root: pathlib.Path) -> Text:
    path = root / "text.npz"
    if path.is_file():
        arrays = _arrays(path)
    elif (root / "labels.npy").is_file():
        path = root / "labels.npy"
        arrays = {"labels": _arrays(path)}
        if (root / "negatives.npy").is_file():
            arrays["negatives"] = _arrays(root / "negatives.npy")
    else:
        raise InputError(
            f"{path} does not exist; it holds the text bank: labels (C, D) and negatives (M, D)"
        )
    if "labels" not in arrays:
        raise InputError(f"{path} has no array 'labels'; it has: {', '.join(arrays) or 'none'}")
    labels = arrays["labels"]
    negatives = arrays.get("negatives", labels[:0])
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
    bank = TextBank(unit(labels, f"{path}: labels"), unit(negatives, f"{path}: negatives"))
    return Text(bank, names, words)


def _images(path: pathlib.Path, width: int) -> ImageSet:
    arrays = _arrays(path)
    rows, labels = arrays.get("embeddings"), arrays.get("labels")
    names = arrays.get("names")
    if rows is None:
        raise InputError(f"{path} has no array 'embeddings'; it has: {', '.join(arrays) or 'none'}")
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != width:
        raise InputError(f"{path}: embeddings must be (N, {width}), as the text is; {rows.shape}")
    for what, array in (("labels", labels), ("names", names)):
        if array is not None and array.shape != (len(rows),):
            raise InputError(f"{path}: {what} must be ({len(rows)},), got {array.shape}")
    if labels is not None:
        if not np.issubdtype(labels.dtype, np.integer):
            raise InputError(f"{path}: labels must be integers, got {labels.dtype}")
        labels = labels.astype(np.int32) if (labels >= 0).all() else None  # OOD lists have -1
    names = range(len(rows)) if names is None else names
    return ImageSet(unit(rows, str(path)), labels, tuple(map(str, names)))


def _place(path: pathlib.Path) -> tuple:
    group = path.parent.name
    return (_ORDER.index(group) if group in _ORDER else len(_ORDER), path)


def _arrays(path: pathlib.Path):
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise InputError(f"{path} cannot be read ({e}); write it again with numpy.savez") from e
