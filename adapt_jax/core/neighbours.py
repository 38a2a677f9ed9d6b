"""Exact distance to the k-th nearest row of a bank, block by block.

Nothing of size queries x bank is built: blocks of the bank stream past, a running top-k survives.
(XLA's `top_k` sorts whole rows on CPU; over 50,000 columns at once it is 15 times slower.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import matmul, working_dtype

BANK_BLOCK = 5000


class Bank(NamedTuple):
    """N rows in M blocks of S, the last padded.

    center (D,) has been subtracted from the rows: distances do not change, rounding gets smaller;
    rows (M, S, D); half_square (M, S) is half the squared norm, infinite for padding.
    """

    center: jax.Array
    rows: jax.Array
    half_square: jax.Array


def make_bank(rows: np.ndarray, block: int = BANK_BLOCK) -> Bank:
    """Puts rows (N, D), N >= 1, on the device; keeps float64, widens what is below float32."""
    dtype = working_dtype(rows.dtype)
    rows = rows.astype(dtype, copy=False)
    count, width = rows.shape
    block = min(block, count)
    blocks = -(-count // block)
    center = rows.mean(axis=0, dtype=np.float64).astype(dtype)
    padded = np.zeros((blocks * block, width), dtype)
    np.subtract(rows, center, out=padded[:count])
    half_square = np.full(blocks * block, np.inf, dtype)
    half_square[:count] = 0.5 * np.einsum("nd,nd->n", padded[:count], padded[:count])
    return Bank(
        jnp.asarray(center),
        jnp.asarray(padded.reshape(blocks, block, width)),
        jnp.asarray(half_square.reshape(blocks, block)),
    )


def kth_squared_distance(queries: jax.Array, bank: Bank, k: int) -> jax.Array:
    """Squared distance to the k-th nearest row (1-based): queries (B, D) -> (B,); k <= N.

    `q . b - |b|^2 / 2` ranks the bank; the distance to the winner is then taken by differences, so
    a query that is in the bank is exactly as far from itself as rounding of the inputs makes it.
    """
    blocks, block, width = bank.rows.shape
    q = queries - bank.center[None]

    def merge(best, xs):
        """Top k of the k best so far and one block."""
        values, indices = best
        index, rows, half_square = xs
        closeness = matmul(q, rows.T) - half_square[None]  # (B, S)
        values, pick = jax.lax.top_k(jnp.concatenate([values, closeness], axis=1), k)
        kept = jnp.take_along_axis(indices, jnp.minimum(pick, k - 1), axis=1)
        return (values, jnp.where(pick < k, kept, index * block + pick - k)), None

    start = (jnp.full((len(q), k), -jnp.inf, q.dtype), jnp.zeros((len(q), k), jnp.int32))
    order = jnp.arange(blocks, dtype=jnp.int32)
    (_, indices), _ = jax.lax.scan(merge, start, (order, bank.rows, bank.half_square))
    difference = q - bank.rows.reshape(blocks * block, width)[indices[:, -1]]
    return jnp.sum(difference * difference, axis=1)
