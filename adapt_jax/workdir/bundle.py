"""Reads an export of `python -m adapt_jax.export`, after checking it against its card.

An export is a directory; `FILES` are the parts that are read here. card.json holds their SHA-256.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from adapt_jax.core import files, named
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import file_sha256
from adapt_jax.core.tensor_files import read_safetensors

FORMAT = "adapt_jax export 1"
CARD, CONFIG, DATA = "card.json", "config.json", "data.json"
WEIGHTS, DETECTOR, DETECTOR_ARRAYS = "model.safetensors", "detector.json", "detector.safetensors"
SCORER, SCRIPT, README = "scorer.stablehlo", "score.py", "README.md"
FILES = (CONFIG, DATA, WEIGHTS, DETECTOR, DETECTOR_ARRAYS, SCORER)
HASHED = (*FILES, SCRIPT)  # older cards lack the script
_REMEDY = "copy the export again"
_CARD_KINDS = {"format": str, "files": dict, "step": int, "results": dict}
_KINDS = {
    DATA: {"image_size": int, "class_names": list, "mean": list, "std": list},
    DETECTOR: {
        "detector": str, "arrays": dict, "threshold": float, "tpr": float, "calibrated_on": str,
    },
}  # fmt: skip


def is_export(folder: pathlib.Path) -> bool:
    """Whether the folder is an export and not a run."""
    try:
        card = files.read_json(folder / CARD, {"format": str}, _REMEDY)
    except InputError:
        return False
    return card["format"].startswith("adapt_jax export")


def of_zero_shot(folder: pathlib.Path) -> bool:
    """Whether the folder is the export of a zero-shot run."""
    return is_export(folder) and "clip" in read_json(folder, DATA)


def refuse_zero_shot(folder: pathlib.Path) -> None:
    """Raises InputError if the folder is the export of a zero-shot run, which only scores."""
    if of_zero_shot(folder):
        raise InputError(
            f"{folder} is the export of a zero-shot run and only scores images; use python -m "
            "adapt_jax.predict, or the run itself"
        )


def verify(folder: pathlib.Path) -> dict[str, Any]:
    """The content of card.json, after checking that no file of the export has changed.

    Raises:
      InputError: a file is missing or changed (named), or the format is another.
    """
    card = read_json(folder, CARD)
    if card.get("format") != FORMAT:
        raise InputError(
            f"{folder} is of the format {card.get('format')!r}, this package reads {FORMAT!r}; "
            "use the version of adapt_jax that its card names"
        )
    files.checked_fields(card, _CARD_KINDS, str(folder / CARD), _REMEDY)
    for name in HASHED:
        if name not in card["files"] and name not in FILES:
            continue
        entry = card["files"].get(name)
        recorded = entry.get("sha256") if isinstance(entry, dict) else None
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing; copy the whole export")
        if file_sha256(folder / name) != recorded:
            raise InputError(
                f"{folder / name} is not the file that was exported (its SHA-256 differs from "
                f"{CARD}'s); copy it again or export the run again"
            )
    return card


def read_json(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """A JSON file of an export.

    Raises:
      InputError: it is missing or damaged.
    """
    return files.read_json(folder / name, _KINDS.get(name, {}), _REMEDY)


def read_weights(folder: pathlib.Path, like: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The exported arrays, and the training step they were exported at.

    Args:
      folder: folder of the export.
      like: shapes and dtypes under "params", "batch_stats" and "method" that follow from the
        export's config.

    Raises:
      InputError: an array is missing, unused, or of another shape or dtype.
    """
    arrays = named.unflatten(read_arrays(folder, WEIGHTS), like, str(folder / WEIGHTS))
    return arrays, int(read_json(folder, CARD)["step"])


def check_data(folder: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Raises InputError if training images are not those that the export was trained on."""
    recorded = read_json(folder, DATA)
    if recorded["train_fingerprint"] != facts["train_fingerprint"]:
        raise InputError(
            f"{folder} was trained on other images than train_data has now; restore them"
        )


def class_names(folder: pathlib.Path) -> tuple[str, ...]:
    """Names of the classes as the exported run numbers them; () where it has none."""
    return tuple(read_json(folder, DATA).get("class_names") or ())


def read_arrays(folder: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """A safetensors file of an export.

    Raises:
      InputError: it is missing or damaged.
    """
    return read_safetensors(folder / name, _REMEDY)
