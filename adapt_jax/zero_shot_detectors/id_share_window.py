"""How many of the last confident images were ID: AdaNeg's adaptive gap (YBZh/OpenOOD-VLM)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.errors import InputError

LENGTH = 10_000
_PRIOR = 200  # made-up entries in the beginning, every other one ID


class Window(NamedTuple):
    """A ring of LENGTH verdicts, 1 for ID and 0 for OOD or unused (int8).

    head (): where the next one goes; size (): how many there are.
    """

    ring: jax.Array
    head: jax.Array
    size: jax.Array


def start() -> Window:
    """As many ID as OOD verdicts, 100 of each."""
    ring = np.zeros(LENGTH, np.int8)
    ring[:_PRIOR:2] = 1
    return Window(jnp.array(ring), jnp.array(_PRIOR, jnp.int32), jnp.array(_PRIOR, jnp.int32))


def push(window: Window, positives: jax.Array, negatives: jax.Array) -> Window:
    """Appends a 1 for every positive, then a 0 for every negative; the oldest make room.

    positives, negatives (B,) bool, no image in both.

    Raises:
      InputError: the batch alone could overflow the window.
    """
    if len(positives) > LENGTH:
        raise InputError(
            f"step: with adaptive_gap a batch holds at most {LENGTH} images, got {len(positives)}."
        )
    pushed = jnp.concatenate([positives, negatives]).astype(jnp.int32)
    place = (window.head + jnp.cumsum(pushed) - 1) % LENGTH
    verdicts = jnp.repeat(jnp.array([1, 0], jnp.int8), len(positives))
    count = jnp.sum(pushed)
    return Window(
        window.ring.at[jnp.where(pushed > 0, place, LENGTH)].set(verdicts, mode="drop"),
        (window.head + count) % LENGTH,
        jnp.minimum(window.size + count, LENGTH),
    )


def share(window: Window) -> jax.Array:
    """The fraction of ID verdicts, ()."""
    return jnp.sum(window.ring, dtype=jnp.int32) / window.size
