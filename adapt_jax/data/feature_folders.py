"""Folders of arrays that another program made, one npz file per set: NAME.npz, GROUP/NAME.npz.

The caller decides which arrays a file must contain: features and logits of a network
(`evaluate.feature_files`), or embeddings of CLIP (`zero_shot.feature_files`). Pickled arrays are
not read. float64 stays float64, narrower numbers are read as float32; bfloat16, which NumPy's files
keep as two bytes without a meaning, is recognised as that.
"""

import hashlib
import pathlib
import zipfile
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import ml_dtypes
import numpy as np

from adapt_jax.core import npz
from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import SHIFTED, ood_side
from adapt_jax.data.suites import RESERVED

_ORDER = ("near", "far")  # as tables have them


class Files(NamedTuple):
    """The files of a folder.

    paths: set name -> file, those without a group first, groups in the order of tables.
    groups: set name -> group, of the sets that have one.
    """

    paths: dict[str, pathlib.Path]
    groups: dict[str, str]

    def evaluated(self, full_spectrum: bool) -> dict[str, str]:
        """The group of every set that an evaluation looks at: shifted sets only in full spectrum.

        Args:
          full_spectrum: whether covariate-shifted ID sets count as ID.

        Raises:
          InputError: there are no such sets.
        """
        if full_spectrum and SHIFTED not in self.groups.values():
            folder = next(iter(self.paths.values())).parent
            raise InputError(f"full_spectrum needs {folder}/{SHIFTED}/NAME.npz; there is none")
        return {s: g for s, g in self.groups.items() if full_spectrum or g != SHIFTED}


def walk(
    folder: str, *, needed: Collection[str], optional: Collection[str], beside: Collection[str]
) -> Files:
    """Finds the files of a folder; reads none.

    Args:
      folder: path of the folder.
      needed: names of the sets without a group that must exist.
      optional: names of the sets without a group that may exist.
      beside: names of files that are not sets.

    Raises:
      InputError: a needed file is missing, two sets have one name or one that means something
        else, a file is where it means nothing, or there is no OOD set.
    """
    root = pathlib.Path(folder).expanduser()
    for name in needed:
        if not (root / f"{name}.npz").is_file():
            wanted = ", ".join(f"{needed_name}.npz" for needed_name in needed)
            raise InputError(
                f"{root / name}.npz does not exist; --from_features wants {wanted} and "
                "GROUP/NAME.npz for every OOD set"
            )
    paths = {p.stem: p for p in sorted(root.glob("*.npz")) if p.stem not in beside}
    if stray := paths.keys() - {*needed, *optional}:
        raise InputError(f"{root / min(stray)}.npz: put OOD sets into near/, far/ or another group")
    groups: dict[str, str] = {}
    reserved = {*RESERVED, *needed, *optional, *beside}
    for path in sorted(root.glob("*/*.npz"), key=_place):
        if taken := reserved & {path.stem, path.parent.name}:
            raise InputError(
                f"{path}: {min(taken)!r} has a meaning of its own beside the groups and in "
                "results; give the OOD set, or its group, another name"
            )
        if path.stem in paths:
            raise InputError(f"two sets are called {path.stem!r}: {paths[path.stem]} and {path}")
        paths[path.stem], groups[path.stem] = path, path.parent.name
    if deeper := next(root.glob("*/*/**/*.npz"), None):
        raise InputError(f"{deeper}: only GROUP/NAME.npz are read; move the file up")
    if not ood_side(groups):
        raise InputError(f"{root} has no OOD set; put some into near/NAME.npz or far/NAME.npz")
    return Files(paths, groups)


def arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name; of an npy file, its only one by the file's name.

    Raises:
      InputError: the file cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            return npz.read(path)
        return {path.stem: np.array(np.load(path, mmap_mode="r", allow_pickle=False))}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise InputError(f"{path} cannot be read ({e}); write it again with numpy.savez") from e


def rows(path: pathlib.Path, arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """The rows (N, D), N >= 1, float32 or float64, that a set's file must have.

    Args:
      path: path of the file, for error messages.
      arrays: arrays of the file, by name.
      key: name of the array to return.

    Raises:
      InputError: there is no such array, or it is no matrix of finite real numbers.
    """
    if key not in arrays:
        raise InputError(f"{path} has no array {key!r}; it has: {', '.join(arrays) or 'none'}")
    if arrays[key].ndim != 2 or not arrays[key].size:
        raise InputError(f"{path}: expected {key} (N, D), got {arrays[key].shape}")
    return numbers(path, arrays[key], key)


def numbers(path: pathlib.Path, array: np.ndarray, key: str) -> np.ndarray:
    """An array of a file as float32, or float64 where it holds more than float32 can.

    Args:
      path: path of the file, for error messages.
      array: array as it was read.
      key: name of the array, for error messages.

    Raises:
      InputError: it holds something else than finite real numbers.
    """
    if array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16).astype(np.float32)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: {key} must be real numbers, got {array.dtype}; save it as float32"
        )
    array = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32, copy=False)
    finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not finite.all():
        raise InputError(
            f"{path}: {np.count_nonzero(~finite)} of {len(finite)} rows of {key} hold NaN or "
            f"infinity, the first is row {int(np.argmin(finite))}; leave these images out, or "
            "compute them in a wider type"
        )
    return array


def labels_of(
    path: pathlib.Path, arrays: Mapping[str, np.ndarray], count: int
) -> np.ndarray | None:
    """The labels (N,) int32 of a set's file; None where they are not known.

    Lists of OOD images have -1 in place of every label.

    Args:
      path: path of the file, for error messages.
      arrays: arrays of the file, by name.
      count: number of rows N.

    Raises:
      InputError: they are not one class 0, 1, ... per row.
    """
    labels = _one_per_row(path, arrays, "labels", count)
    if labels is None:
        return None
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path}: labels must be integers, got {labels.dtype}")
    if (labels < 0).any() and (labels >= 0).any():
        row = int(np.argmax(labels < 0))
        raise InputError(f"{path}: label {labels[row]} in row {row}; classes are 0, 1, ...")
    if labels.max() > np.iinfo(np.int32).max:
        raise InputError(f"{path}: label {labels.max()} is no number of a class")
    return labels.astype(np.int32) if labels[0] >= 0 else None


def names_of(path: pathlib.Path, arrays: Mapping[str, np.ndarray], count: int) -> tuple[str, ...]:
    """The name of every image of a set's file; their numbers where they have none.

    Args:
      path: path of the file, for error messages.
      arrays: arrays of the file, by name.
      count: number of rows N.

    Raises:
      InputError: there is not one name per row.
    """
    names = _one_per_row(path, arrays, "names", count)
    return tuple(map(str, range(count) if names is None else names))


def sha256(contents: Iterable[tuple[str, np.ndarray]]) -> str:
    """SHA-256 of arrays, what stands in for that of a checkpoint.

    Args:
      contents: pairs of a text and an array, which are hashed in this order.
    """
    digest = hashlib.sha256()
    for what, array in contents:
        digest.update(f"{what}{array.shape} {array.dtype};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _one_per_row(path, arrays, key: str, count: int) -> np.ndarray | None:
    array = arrays.get(key)
    if array is not None and array.shape != (count,):
        raise InputError(f"{path}: {key} must be ({count},), one per row, got {array.shape}")
    return array


def _place(path: pathlib.Path) -> tuple:
    group = path.parent.name
    return (_ORDER.index(group) if group in _ORDER else len(_ORDER), path)
