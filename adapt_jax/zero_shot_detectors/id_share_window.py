"""How many of the last confident images were ID: AdaNeg's adaptive gap (YBZh/OpenOOD-VLM)."""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.zero_shot_detectors.ring import Ring, append

LENGTH = 10_000
_PRIOR = 200  # made-up entries in the beginning, every other one ID


def start() -> Ring:
    """A ring of LENGTH decisions, 1 for ID and 0 for OOD (int8), that starts with 100 of each."""
    verdicts = np.zeros(LENGTH, np.int8)
    verdicts[:_PRIOR:2] = 1
    number = np.int32(_PRIOR)
    return Ring(*map(jnp.asarray, (verdicts, number, number)))


def push(window: Ring, positives: jax.Array, negatives: jax.Array) -> Ring:
    """Appends a 1 for every positive, then a 0 for every negative; the oldest make room.

    positives, negatives (B,) bool, no image in both.
    """
    verdicts = jnp.repeat(jnp.array([1, 0], jnp.int8), len(positives))
    return append(window, verdicts, jnp.concatenate([positives, negatives]))


def share(window: Ring) -> jax.Array:
    """The fraction of ID decisions, ()."""
    return jnp.sum(window.rows, dtype=jnp.int32) / window.size
