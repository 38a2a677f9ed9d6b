"""One score per image on disk, so that every table can be derived again; atomic writes."""

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.core.files import write_atomically


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
        raise InputError(f"{path}: one score and one name per image, got shapes {shapes}.")
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
        # NumPy leaves a damaged file open if it opens it itself.
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            return Scores(file["scores"], file["names"], file.get("labels"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; evaluate the run first.") from None
    except (LookupError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
        raise InputError(f"{path} is not a file of scores ({e}); evaluate the run again.") from e
