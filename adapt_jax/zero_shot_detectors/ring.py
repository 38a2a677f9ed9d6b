"""Ring buffers: the last rows of a stream, in an array of fixed length."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Ring(NamedTuple):
    """The last L rows that were appended.

    rows (L, ...), zero where nothing was written yet; head () int32, the row that is written next;
    size () int32, how many rows are filled.
    """

    rows: jax.Array
    head: jax.Array
    size: jax.Array


def empty(length: int, *shape: int, dtype) -> Ring:
    """A ring of `length` rows of `shape` that holds nothing."""
    return Ring(
        jnp.zeros((length, *shape), dtype), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
    )


def append(ring: Ring, rows: jax.Array, accepted: jax.Array) -> Ring:
    """Appends the accepted rows in order; the oldest make room.

    Args:
      ring: the ring of L rows.
      rows: new rows (B, ...); if B exceeds L, the last L accepted rows remain.
      accepted: bool (B,), which rows to append.
    """
    length = len(ring.rows)
    count = jnp.sum(accepted, dtype=jnp.int32)
    turn = jnp.cumsum(accepted, dtype=jnp.int32) - 1
    written = accepted & (turn >= count - length)
    place = jnp.where(written, (ring.head + turn) % length, length)  # `length` is dropped
    return Ring(
        ring.rows.at[place].set(rows.astype(ring.rows.dtype), mode="drop"),
        (ring.head + count) % length,
        jnp.minimum(ring.size + count, length),
    )


def filled(ring: Ring) -> jax.Array:
    """Which rows hold something, (L,) bool."""
    return jnp.arange(len(ring.rows)) < ring.size


def mean(ring: Ring) -> jax.Array:
    """The mean of the filled rows; zero if there is none."""
    return jnp.sum(ring.rows, axis=0) / jnp.maximum(ring.size, 1).astype(ring.rows.dtype)
