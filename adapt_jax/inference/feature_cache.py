"""The network's outputs of every image set, kept on disk by checkpoint."""

import hashlib
import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from adapt_jax.core import npz
from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded
from adapt_jax.core.files import checked_fields, folder_name, read_json, write_atomically
from adapt_jax.data.sources import Dataset
from adapt_jax.inference.forward import Arrays, Extract
from adapt_jax.runtime import processes

_INDEX = "index.json"


def cached(
    path: pathlib.Path, key: str, dataset: Any, extract: Extract, *, anew: bool = False
) -> Arrays:
    """The outputs of a set: from `path` if it holds those of `key`, else computed and kept there.

    Args:
      path: path of an npz file, which process 0 writes atomically.
      key: SHA-256 of what the outputs depend on: checkpoint, images, preprocessing.
      dataset: the images and, where known, their labels.
      extract: the forward pass, from `forward.make`.
      anew: whether to compute the outputs even if `path` holds them.
    """
    stored_arrays = None if anew else _read(path, key)
    if processes.all_of(stored_arrays is not None):  # a pass over the images takes all processes
        return _labelled(stored_arrays, dataset)
    arrays = _labelled(extract(dataset.images), dataset)
    if processes.is_main():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        fields: dict[str, Any] = {"key": key, **arrays}
        np.savez(content, **fields)
        write_atomically(path, content.getvalue())
    return arrays


def remember(
    folder: pathlib.Path,
    checkpoint: str,
    keys: Mapping[str, str],
    sources: Mapping[str, str],
    dtype: str,
) -> None:
    """Notes in FOLDER/index.json which outputs the last evaluation used, of what, in which dtype.

    Files of other evaluations of the same checkpoint may lie beside them.
    """
    sets = {name: {"key": key, "source": sources.get(name, "")} for name, key in keys.items()}
    if processes.is_main():
        index = {"checkpoint": checkpoint, "dtype": dtype, "sets": sets}
        content = json.dumps(index, indent=1) + "\n"
        write_atomically(folder / _INDEX, content.encode())


def recall(folder: pathlib.Path, checkpoint: str) -> dict[str, tuple[str, Arrays]]:
    """The outputs the last evaluation used, by set: (source, arrays); {} of another checkpoint."""
    outputs_by_set = {}
    for name, entry in _index(folder, checkpoint).get("sets", {}).items():
        arrays = _read(path_of(folder, name, checkpoint), entry["key"])
        if arrays is not None:
            outputs_by_set[name] = entry["source"], arrays
    return outputs_by_set


def dtype(folder: pathlib.Path, checkpoint: str) -> str | None:
    """What the network computed in when those outputs were made; None where it was not noted."""
    return _index(folder, checkpoint).get("dtype")


def _index(folder: pathlib.Path, checkpoint: str) -> dict[str, Any]:
    """{} where there is none, or one of another checkpoint."""
    path, remedy = folder / _INDEX, "evaluate the run again"
    if not path.exists():
        return {}
    index = read_json(path, {"checkpoint": str, "sets": dict}, remedy)
    for name, entry in index["sets"].items():
        checked_fields(entry, {"key": str, "source": str}, f"{path}, set {name!r}", remedy)
    return index if index["checkpoint"] == checkpoint else {}


def stored(folder: pathlib.Path, checkpoint: str, name: str) -> Arrays | None:
    """What a set's file holds, its "key" included; None where it cannot be read."""
    return _load(path_of(folder, name, checkpoint))


def path_of(folder: pathlib.Path, name: str, checkpoint: str) -> pathlib.Path:
    """The file of a set's outputs."""
    return pathlib.Path(folder) / f"{folder_name(name)}-{folder_name(checkpoint[:12])}.npz"


def outputs_sha256(checkpoint: str, dataset: Dataset, mean_std, dtype) -> str:
    """SHA-256 of everything the outputs of `dataset` depend on."""
    text = f"{checkpoint} {dataset.content_sha256} {mean_std} {dtype}"
    return hashlib.sha256(encoded(text)).hexdigest()


def _labelled(arrays: Arrays, dataset: Dataset) -> Arrays:
    """The labels the set has now: what they mean may have changed since the file was written."""
    arrays = {name: array for name, array in arrays.items() if name != "labels"}
    if dataset.labels is not None:
        arrays["labels"] = np.asarray(dataset.labels, np.int32)
    return arrays


def _read(path: pathlib.Path, key: str) -> Arrays | None:
    arrays = _load(path)
    if arrays is None or str(arrays.pop("key", "")) != key:
        return None
    return arrays


def _load(path: pathlib.Path) -> Arrays | None:
    try:
        return npz.read(path)
    except (OSError, InputError):
        return None  # absent, or damaged: compute it again
