"""Row-wise functions over any number of rows: one shape to compile, one result for any split."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from adapt_jax.core.arrays import traced, working_dtype


def map_rows(
    function: Callable[[Any], Any], rows: np.ndarray | tuple[np.ndarray, ...], block: int
) -> np.ndarray:
    """`function` applied to `rows` (N, ...) in blocks of exactly `block` rows, on the device.

    The last block is padded with copies of its first row. Every row therefore meets the same
    compiled program whatever N is, and its result does not depend on which rows it arrived with.

    Rows that are being traced (`jax.jit`, `jax.export`) go through `function` as they are: then it
    is for the caller to say how many there are at a time.

    Args:
      function: jitted function (block, ...) -> (block, ...); row i of the result depends on row i
        alone.
      rows: array (N, ...) with N >= 1, or a tuple of such arrays, which `function` then gets as a
        tuple; narrower floats and integers are read as float32.
      block: number of rows per call.

    Returns:
      (N, ...) on the host.
    """

    if traced(rows):
        return function(jax.tree.map(lambda x: x.astype(working_dtype(x.dtype)), rows))

    def part(start: int, array: np.ndarray) -> np.ndarray:
        piece = np.asarray(array[start : start + block], working_dtype(array.dtype))
        missing = block - len(piece)
        return np.concatenate([piece, np.repeat(piece[:1], missing, axis=0)]) if missing else piece

    count = len(jax.tree.leaves(rows)[0])
    results = []  # not awaited: the next block is prepared meanwhile
    for start in range(0, count, block):
        results.append(function(jax.tree.map(partial(part, start), rows)))
    return np.concatenate([np.asarray(r) for r in results])[:count]
