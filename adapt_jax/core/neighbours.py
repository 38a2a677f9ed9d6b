"""Exact search for the nearest rows of a bank, block by block.

An array of size queries x bank is never built: the search goes through the bank block by block and
keeps the k best rows so far.
(XLA's `top_k` sorts whole rows on CPU; over 50,000 columns at once it is 15 times slower.)
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adapt_jax.core.arrays import matmul, on_device, unit_rows, working_dtype

BANK_BLOCK = 5000


class Bank(NamedTuple):
    """N rows in M blocks of S, the last padded.

    center (D,) has been subtracted from the rows: distances do not change, rounding gets smaller;
    rows (M, S, D); half_square (M, S) is half the squared norm, infinite for padding.
    """

    center: jax.Array
    rows: jax.Array
    half_square: jax.Array


def make_bank(
    rows: np.ndarray, block: int = BANK_BLOCK, normalize: bool = False, mesh: Mesh | None = None
) -> Bank:
    """Puts (unit) rows (N, D), N >= 1, on the device; keeps float64, widens what is below float32.

    Args:
      rows: the rows (N, D) to search among.
      block: number of rows per block of the search.
      normalize: whether to scale rows to unit length first.
      mesh: devices to split the blocks over; `kth_squared_distance` needs the same mesh.
    """
    dtype = working_dtype(rows.dtype)

    def prepared(part: np.ndarray) -> np.ndarray:
        return unit_rows(part) if normalize else part.astype(dtype, copy=False)

    starts = range(0, len(rows), block)
    total = sum(prepared(rows[i : i + block]).sum(axis=0, dtype=np.float64) for i in starts)
    center = (total / len(rows)).astype(dtype)
    blocks = in_blocks(rows, lambda part, _: prepared(part) - center, block, mesh)
    return Bank(on_device(center), blocks, _half_square(blocks, len(rows)))


def in_blocks(
    rows: np.ndarray,
    function: Callable[[np.ndarray, slice], np.ndarray],
    block: int = BANK_BLOCK,
    mesh: Mesh | None = None,
) -> jax.Array:
    """`function(rows[part], part)` of every block of rows (N, D) -> (M, S, D), zeros after row N.

    Each block goes to the device by itself: beside the bank there is never a second copy of it. On
    a mesh, M is a multiple of its size, and each device gets its share of the blocks.
    """
    count, width = rows.shape
    devices = 1 if mesh is None else mesh.size
    block = min(block, -(-count // devices))
    blocks = -(-count // (block * devices)) * devices
    dtype = working_dtype(rows.dtype)

    def one(index: int) -> np.ndarray:
        part = slice(min(index * block, count), min((index + 1) * block, count))
        return function(rows[part], part)

    if mesh is None:
        if blocks == 1:
            return on_device(one(0)[None], dtype)
        result = jnp.zeros((blocks, block, width), dtype)
        for index in range(blocks):
            result = _put(result, one(index), index).block_until_ready()
        return result

    def share(where: tuple[slice, ...]) -> np.ndarray:
        first, last, _ = where[0].indices(blocks)
        result = np.zeros((last - first, block, width), dtype)
        for index in range(first, min(last, -(-count // block))):
            filled = one(index)
            result[index - first, : len(filled)] = filled
        return result

    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    return jax.make_array_from_callback((blocks, block, width), split, share)


@partial(jax.jit, donate_argnums=0)
def _put(blocks: jax.Array, rows: jax.Array, index: int) -> jax.Array:
    return jax.lax.dynamic_update_slice(blocks, rows[None].astype(blocks.dtype), (index, 0, 0))


@partial(jax.jit, static_argnames="count")
def _half_square(blocks: jax.Array, count: int) -> jax.Array:
    """Half the squared norm of each row, infinite after row `count`: (M, S, D) -> (M, S)."""
    square = jnp.sum(blocks * blocks, axis=-1)
    padding = jnp.arange(square.size).reshape(square.shape) >= count
    return jnp.where(padding, jnp.inf, 0.5 * square)


def largest_products(
    queries: jax.Array, rows: jax.Array, penalty: jax.Array, k: int
) -> tuple[jax.Array, jax.Array]:
    """The k largest `q . row - penalty` of each query, and which rows they belong to.

    Args:
      queries: rows (B, D) to find neighbours of.
      rows: rows (M, S, D) in M blocks, of which at least k have a finite penalty.
      penalty: number (M, S) to subtract from each row's product, infinite for padding.
      k: number of products to return per query.

    Returns:
      values (B, k), largest first, and indices (B, k) int32 into the M * S rows.
    """
    blocks, block, _ = rows.shape

    def merge(best, xs):
        """Top k of the k best so far and one block."""
        values, indices = best
        index, rows, penalty = xs
        closeness = matmul(queries, rows.T) - penalty[None]  # (B, S)
        values, pick = jax.lax.top_k(jnp.concatenate([values, closeness], axis=1), k)
        kept = jnp.take_along_axis(indices, jnp.minimum(pick, k - 1), axis=1)
        return (values, jnp.where(pick < k, kept, index * block + pick - k)), None

    shape = (queries.shape[0], k)  # no len: it may be symbolic
    dtype = jnp.result_type(queries, rows)
    start = (jnp.full(shape, -jnp.inf, dtype), jnp.zeros(shape, jnp.int32))
    order = jnp.arange(blocks, dtype=jnp.int32)
    best, _ = jax.lax.scan(merge, start, (order, rows, penalty))
    return best


def kth_squared_distance(
    queries: jax.Array, bank: Bank, k: int, mesh: Mesh | None = None
) -> jax.Array:
    """Squared distance to the k-th nearest row (1-based): queries (B, D) -> (B,); k <= N.

    `q . b - |b|^2 / 2` ranks the bank; the distance to the winner is then taken by differences, so
    a query that is in the bank is exactly as far from itself as rounding of the inputs makes it.

    On a mesh every device finds the k best of its own blocks; these k x devices candidates are all
    that moves.
    """
    q = queries - bank.center[None]
    if mesh is None:
        _, indices = largest_products(q, bank.rows, bank.half_square, k)
        return _squared_distance(q, bank.rows, indices[:, -1])
    axis = mesh.axis_names[0]

    def share(q, rows, half_square):
        values, indices = largest_products(q, rows, half_square, k)  # (B, k) of this device
        every = jax.lax.all_gather(values, axis, axis=1, tiled=True)  # (B, devices * k)
        _, best = jax.lax.top_k(every, k)
        device, slot = jnp.divmod(best[:, -1], k)
        index = jnp.take_along_axis(indices, slot[:, None], axis=1)[:, 0]
        mine = device == jax.lax.axis_index(axis)
        return jax.lax.psum(jnp.where(mine, _squared_distance(q, rows, index), 0.0), axis)

    whole, split = PartitionSpec(), PartitionSpec(axis)
    search = jax.shard_map(
        share, mesh=mesh, in_specs=(whole, split, split), out_specs=whole, check_vma=False
    )
    return search(q, bank.rows, bank.half_square)


def _squared_distance(q: jax.Array, rows: jax.Array, index: jax.Array) -> jax.Array:
    """From each query (B, D) to one of the rows (M, S, D): (B,)."""
    difference = q - rows.reshape(-1, rows.shape[-1])[index]
    return jnp.sum(difference * difference, axis=1)
