"""One score per image on disk, so that every table can be derived again; atomic writes."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core import npz
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import folder_name, write_atomically


class Scores(NamedTuple):
    """Scores of one set: scores (N,) float32, names (N,) str, labels (N,) int or None."""

    scores: np.ndarray
    names: np.ndarray
    labels: np.ndarray | None = None


def save_scores(path: str | os.PathLike, scores, names: Sequence[str], labels=None) -> None:
    """Writes one set's scores (.npz, no pickle): `scores` float32, `names` str, `labels` int.

    Raises:
      InputError: lengths differ.
    """
    arrays: dict[str, Any] = {
        "scores": np.asarray(scores, np.float32),
        "names": np.asarray(names, dtype=np.str_),
    }
    if labels is not None:
        arrays["labels"] = np.asarray(labels)
    shapes = {k: v.shape for k, v in arrays.items()}
    if len(set(shapes.values())) > 1 or arrays["scores"].ndim != 1:
        raise InputError(f"{path}: one score and one name per image, got shapes {shapes}")
    content = io.BytesIO()
    np.savez(content, **arrays)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def load_scores(path: str | os.PathLike) -> Scores:
    """Reads what `save_scores` wrote.

    Raises:
      InputError: the file is missing, damaged, or not one of ours.
    """
    try:
        arrays = npz.read(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; evaluate the run first") from None
    except InputError as e:
        raise InputError(f"{path} is not a file of scores ({e}); evaluate the run again") from None
    loaded = Scores(arrays.get("scores"), arrays.get("names"), arrays.get("labels"))
    given = [array for array in loaded if array is not None]
    alike = len({array.shape for array in given}) == 1 and given[0].ndim == 1
    if (
        loaded.scores is None
        or loaded.names is None
        or not alike
        or loaded.scores.dtype.kind != "f"
    ):
        raise InputError(
            f"{path} is not a file of scores (expected one score, name and label per image); "
            "evaluate the run again"
        )
    return loaded


def path_of(workdir: str | os.PathLike, detector: str, name: str) -> Path:
    """The file of a detector's scores of a set, below a run's folder whatever their names are."""
    return Path(workdir) / "scores" / folder_name(detector) / f"{folder_name(name)}.npz"
