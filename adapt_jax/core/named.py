"""Trees of arrays as flat dicts, name -> array, and back: how they lie in safetensors files."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from adapt_jax.core.errors import InputError


def flatten(**trees: Any) -> dict[str, np.ndarray]:
    """Every array of the trees, on the host, under "tree.key.field"; contiguous."""
    found = {}
    for path, leaf in jax.tree.leaves_with_path(trees):
        found[name(path)] = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    return found


def unflatten(arrays: Mapping[str, np.ndarray], like: Mapping[str, Any], where: str) -> Any:
    """The trees `like`, with the arrays of their names in place of its leaves.

    Args:
      arrays: from a file.
      like: trees by name; leaves with a shape and a dtype insist on theirs.
      where: the file, for the message.

    Raises:
      InputError: a name is missing or unused, or an array has another shape or dtype; named.
    """
    wanted = {name(path): leaf for path, leaf in jax.tree.leaves_with_path(like)}
    for problem, names in (
        ("lacks", wanted.keys() - arrays.keys()),
        ("holds what nothing here uses:", arrays.keys() - wanted.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(f"{where} {problem} {min(names)}{more}; export the run again")
    for key, leaf in wanted.items():
        found, shape = arrays[key], getattr(leaf, "shape", None)
        if shape is not None and (found.shape, found.dtype) != (tuple(shape), leaf.dtype):
            raise InputError(
                f"{where}: {key} is {found.dtype} of shape {found.shape}, expected {leaf.dtype} "
                f"of shape {tuple(shape)}; export the run again"
            )
    return jax.tree.map_with_path(lambda path, _: arrays[name(path)], like)


def name(path) -> str:
    """What an array is called in a file, by its path in a tree."""
    return jax.tree_util.keystr(path, simple=True, separator=".")
