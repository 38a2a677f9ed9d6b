"""`cifar:DIR/train`, `cifar:DIR/test`: CIFAR-10 and CIFAR-100 as their authors distribute them.

DIR is cifar-10-batches-py or cifar-100-python, the "python version". Its files are pickles, that
is, programs; they are run with nothing to call: the names of NumPy's arrays stand for inert objects
of our own, and any other name ends the reading.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data.base import Listing, Source
from adapt_jax.data.download import catalogue

_SIDE = 32
# Folder -> (files of each split, key of the labels, file of the names, key of the names).
_LAYOUTS: dict[str, tuple[dict[str, tuple[str, ...]], bytes, str, bytes]] = {
    "cifar-10-batches-py": (
        {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
        b"labels",
        "batches.meta",
        b"label_names",
    ),
    "cifar-100-python": (
        {"train": ("train",), "test": ("test",)},
        b"fine_labels",
        "meta",
        b"fine_label_names",
    ),
}


def check_cifar(source: Source) -> None:
    """Raises InputError unless every file of the split is there."""
    folder, files, *_ = _parts(source)
    for name in files:
        if not (folder / name).is_file():
            raise InputError(
                f"{source.text!r}: there is no file {folder / name}{catalogue.hint(folder / name)}"
            )


def open_cifar(source: Source, image_size: int, cache_dir=None) -> Listing:
    """The images of one split, in the order of the files, with the fine labels of CIFAR-100."""
    folder, files, label_key, meta, names_key = _parts(source)
    pixels, labels, names = [], [], []
    for file in files:
        content = _read(folder / file)
        data, own = content.get(b"data"), content.get(label_key)
        if not isinstance(data, _Array) or not isinstance(own, list):
            raise InputError(f"{folder / file} holds no images of CIFAR; download it again")
        pixels.append(data.pixels(folder / file))
        labels += own
        named = content.get(b"filenames")
        names += [n.decode() for n in named] if named else [f"{file}[{i}]" for i in range(len(own))]
    images = np.concatenate(pixels).reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    images = np.ascontiguousarray(images)
    if len(images) != len(labels):
        raise InputError(f"{folder} has {len(images)} images and {len(labels)} labels")
    class_names = tuple(n.decode() for n in _read(folder / meta).get(names_key, ()))
    return Listing(
        tuple(names), np.array(labels, np.int32), class_names, lambda i: images[i], pixels=images
    )


def _parts(source: Source) -> tuple[Path, tuple[str, ...], bytes, str, bytes]:
    path = Path(source.place).expanduser()
    layout = _LAYOUTS.get(path.parent.name)
    if layout is None or path.name not in layout[0]:
        raise InputError(
            f"{source.text!r}: write cifar:DIR/train or cifar:DIR/test, with a folder DIR that is "
            f"called {' or '.join(_LAYOUTS)}"
        )
    splits, label_key, meta, names_key = layout
    return path.parent, splits[path.name], label_key, meta, names_key


class _Array:
    """An array of a pickle: what NumPy saved of it, unchecked."""

    def __init__(self, *_: Any):
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def pixels(self, path: Path) -> np.ndarray:
        """Its bytes as uint8 (N, 3072)."""
        try:
            _, shape, dtype, fortran, data = self.state
            if dtype.kind not in ("u1", b"u1") or fortran:
                raise ValueError("its numbers are no bytes")
            return np.frombuffer(data, np.uint8).reshape(shape)
        except (TypeError, ValueError, AttributeError) as e:
            raise InputError(f"{path} holds no images of CIFAR ({e}); download it again") from e


class _Dtype:
    """A dtype of a pickle: its name."""

    def __init__(self, kind: Any, *_: Any):
        self.kind = kind

    def __setstate__(self, state: Any) -> None:
        pass


class _Inert(pickle.Unpickler):
    """Knows arrays by name and calls nothing."""

    def find_class(self, module: str, name: str) -> Any:
        """An inert object of our own for each name that CIFAR's files have."""
        if name == "_reconstruct" and module.endswith("multiarray"):
            return _Array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return {"ndarray": object, "dtype": _Dtype}[name]
        raise pickle.UnpicklingError(f"it calls {module}.{name}")


def _read(path: Path) -> dict[bytes, Any]:
    try:
        with path.open("rb") as file:
            content = _Inert(file, encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError) as e:
        raise InputError(f"{path} is no file of CIFAR's python version: {e}") from e
    if not isinstance(content, dict):
        raise InputError(f"{path} is no file of CIFAR's python version")
    return content
