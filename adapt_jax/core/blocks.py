"""Row-wise functions over any number of rows: one shape to compile, one result for any split."""

from collections.abc import Callable

import jax
import numpy as np

from adapt_jax.core.arrays import working_dtype


def map_rows(
    function: Callable[[jax.Array], jax.Array], rows: np.ndarray, block: int
) -> np.ndarray:
    """`function` applied to `rows` (N, ...) in blocks of exactly `block` rows, on the device.

    The last block is padded with copies of its first row. Every row therefore meets the same
    compiled program whatever N is, and its result does not depend on which rows it arrived with.

    Args:
      function: (block, ...) -> (block, ...), row i of the result from row i alone; jitted.
      rows: (N, ...) with N >= 1; narrower floats and integers are read as float32.
      block: rows per call.

    Returns:
      (N, ...) on the host.
    """
    dtype = working_dtype(rows.dtype)
    results = []
    for start in range(0, len(rows), block):
        part = np.asarray(rows[start : start + block], dtype)
        if len(part) < block:
            part = np.concatenate([part, np.repeat(part[:1], block - len(part), axis=0)])
        results.append(function(part))  # not awaited: the next block is prepared meanwhile
    return np.concatenate([np.asarray(r) for r in results])[: len(rows)]
