"""A ViT's position embeddings for another image size, with the kernel its library uses.

Both are bicubic and differ: mlfoundations/open_clip antialiases (coefficient -1/2, borders
renormalised), huggingface/transformers does not (coefficient -3/4, borders repeated).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import HIGHEST


def resize(table: jax.Array, grid: tuple[int, int], kernel: str) -> jax.Array:
    """Positions of a square grid, interpolated to another one.

    Args:
      table: positions (1 + n * n, W): that of the class token, which is kept, then those of the
        grid row by row.
      grid: number of rows and columns of the new grid.
      kernel: interpolation kernel, "open_clip" or "huggingface".

    Returns:
      (1 + rows * columns, W), in the table's dtype.
    """
    return jnp.concatenate([table[:1], resize_grid(table[1:], grid, kernel)])


def resize_grid(table: jax.Array, grid: tuple[int, int], kernel: str) -> jax.Array:
    """The same for positions (n * n, W) without a class token's: (rows * columns, W)."""
    side, width = math.isqrt(len(table)), table.shape[-1]
    if grid == (side, side):
        return table
    old = table.reshape(side, side, width)
    if kernel == "open_clip":
        new = jax.image.resize(old, (*grid, width), "cubic", antialias=True)
    else:
        rows, columns = (jnp.asarray(_bicubic(side, n), table.dtype) for n in grid)
        new = jnp.einsum("or,rcw,pc->opw", rows, old, columns, precision=HIGHEST)
    return new.reshape(-1, width)


def _bicubic(size: int, wanted: int) -> np.ndarray:
    """(wanted, size) weights of PyTorch's bicubic interpolation, `align_corners=False`."""
    a = -0.75
    centre = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    base = np.floor(centre)
    weights = np.zeros((wanted, size))
    for tap in (-1, 0, 1, 2):
        t = np.abs(centre - (base + tap))
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        source = np.clip(base + tap, 0, size - 1).astype(int)
        np.add.at(weights, (np.arange(wanted), source), np.where(t <= 1, near, far))
    return weights
