"""What the fitted state of a detector looks like, so that it can be read from a file."""

import typing
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from adapt_jax.core.arrays import Array


def like(fit: Callable) -> Any:
    """The pytree that a detector's `fit` returns, a zero in place of every array.

    It is read from the return annotation: an array, a NamedTuple of arrays, or an empty tuple.

    Raises:
      TypeError: it does not, or says something else.
    """
    return _like(typing.get_type_hints(fit).get("return"))


def _like(kind: Any) -> Any:
    if kind in (jax.Array, np.ndarray, Array):
        return 0
    if hasattr(kind, "_fields"):
        fields = typing.get_type_hints(kind)
        return kind(*(_like(fields[name]) for name in kind._fields))
    if (typing.get_origin(kind) or kind) is tuple and not typing.get_args(kind):
        return ()
    raise TypeError(f"a detector's state is arrays in NamedTuples, not {kind}")
