"""Named arrays, as weights files hold them: checks against a model, conversion to trees."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from adapt_jax.core.errors import InputError

_SHOWN = 8  # names in a message


def check(
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...] | None],
    *,
    what: str,
    advice: str,
    dtypes: Mapping[str, np.dtype] | None = None,
) -> None:
    """Refuses named arrays that are not exactly those that are wanted.

    Args:
      arrays: the named arrays.
      shapes: required shape of every array, by name; None accepts any shape.
      what: beginning of the error message: which file does not fit which model.
      advice: end of the error message: what to do.
      dtypes: required dtypes, by name, of the arrays that must have a certain one.

    Raises:
      InputError: names the arrays that are missing, unused, or of the wrong shape or dtype, the
        first few of each.
    """
    dtypes = dtypes or {}
    misshapen, mistyped = [], []
    for name in sorted(shapes.keys() & arrays.keys()):
        shape, dtype = arrays[name].shape, arrays[name].dtype
        if shapes[name] not in (None, shape):
            misshapen.append(f"{name} is {shape}, not {shapes[name]}")
        if dtypes.get(name, dtype) != dtype:
            mistyped.append(f"{name} is {dtype}, not {dtypes[name]}")
    problems = {
        "missing": sorted(shapes.keys() - arrays.keys()),
        "unused": sorted(arrays.keys() - shapes.keys()),
        "of the wrong shape": misshapen,
        "of the wrong dtype": mistyped,
    }
    if any(problems.values()):
        said = (
            f"{len(names)} {kind}: {listed(names)}" for kind, names in problems.items() if names
        )
        raise InputError(f"{what} ({'; '.join(said)}); {advice}")


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def flatten(**trees: Any) -> dict[str, np.ndarray]:
    """Every array of the trees, on the host, under "tree.key.field"; contiguous."""
    named = {}
    for path, leaf in jax.tree.leaves_with_path(trees):
        named[name(path)] = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    return named


def unflatten(arrays: Mapping[str, np.ndarray], like: Mapping[str, Any], where: str) -> Any:
    """The trees `like`, with the arrays of their names in place of its leaves.

    Args:
      arrays: the named arrays of a file.
      like: trees by name; where a leaf has a shape and a dtype, the array must have the same.
      where: the file, for the error message.

    Raises:
      InputError: see `check`.
    """
    wanted = {name(path): leaf for path, leaf in jax.tree.leaves_with_path(like)}
    check(
        arrays,
        {key: getattr(leaf, "shape", None) for key, leaf in wanted.items()},
        dtypes={key: leaf.dtype for key, leaf in wanted.items() if hasattr(leaf, "dtype")},
        what=f"the arrays in {where} do not fit the network and detector beside it",
        advice="export the run again",
    )
    return jax.tree.map_with_path(lambda path, _: arrays[name(path)], like)


def name(path) -> str:
    """What an array is called in a file, by its path in a tree."""
    return jax.tree_util.keystr(path, simple=True, separator=".")
