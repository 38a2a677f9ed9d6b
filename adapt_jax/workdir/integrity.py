"""Detects damaged checkpoints by the SHA-256 of every array, and of the rest."""

import hashlib
import json
import pathlib
from typing import Any

import jax
import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.core.files import read_json


def facts(where: pathlib.Path) -> dict[str, Any]:
    """A checkpoint's loss and the SHA-256 of its arrays, which older ones lack.

    Raises:
      InputError: the file is damaged.
    """
    path = where / "metrics" / "metrics"
    content = read_json(path, {"loss": float}, f"the checkpoint of step {where.name} is damaged")
    if content.keys() == {"loss"}:
        return content
    sha256 = content.pop("sha256", None)
    if sha256 != seal(content) or not isinstance(content.get("arrays"), dict):
        raise InputError(
            f"the checkpoint of step {where.name} is damaged: {path} has another SHA-256 than was "
            "saved"
        )
    return content


def seal(facts: dict[str, Any]) -> str:
    """SHA-256 of the facts themselves, which are kept with it."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def hashes(tree: Any) -> dict[str, str]:
    """SHA-256 of every array by its path in the tree: over shape, dtype and values."""
    return {
        jax.tree_util.keystr(path): add(hashlib.sha256(), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def check(tree: Any, recorded: dict[str, str], step: int) -> None:
    """Raises InputError unless the arrays of a checkpoint have the SHA-256 they were saved with."""
    changed = [name for name, digest in hashes(tree).items() if recorded.get(name) != digest]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            f"the checkpoint of step {step} is damaged: array {changed[0]}{more} has another "
            "SHA-256 than was saved"
        )


def add(total, leaf, prefix: str = "") -> str:
    """Adds an array to a hash and returns the new hash."""
    leaf = np.asarray(leaf)
    total.update(f"{prefix}{leaf.shape}{leaf.dtype}".encode())
    total.update(np.ascontiguousarray(leaf).tobytes())
    return total.hexdigest()
