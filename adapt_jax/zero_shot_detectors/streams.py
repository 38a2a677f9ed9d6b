"""Detectors on streams of images: batch by batch, the state of one going into the next.

Which images a stream has, and in what order, is in `data.streams`.
"""

from collections import deque
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import jax
import numpy as np

_AHEAD = 2  # batches under way while the host prepares the next


def run(
    step: Callable,
    state,
    images: np.ndarray,
    order: np.ndarray,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda count: None,
) -> tuple[np.ndarray, Any]:
    """Scores (N,) of images (N, D), which are seen in `order`, and the state they leave.

    Scores come in the order of `images`.

    Args:
      step: step function of a detector, from `compiled`.
      state: state at the start of the stream; its memory is reused.
      images: unit rows (N, D).
      order: permutation (N,), the order of the stream.
      batch_size: number of images per step; the last batch is padded.
      on_batch: function called with the number of images scored so far, after every batch.
    """
    result = np.empty(len(images), images.dtype)
    pending: deque = deque()
    count = 0

    def finish() -> None:
        nonlocal count
        positions, values = pending.popleft()
        result[positions] = np.asarray(values)[: len(positions)]
        count += len(positions)
        on_batch(count)

    for start in range(0, len(order), batch_size):
        batch_order = order[start : start + batch_size]
        batch = np.zeros((batch_size, images.shape[1]), images.dtype)
        batch[: len(batch_order)] = images[batch_order]
        values, state = step(state, batch, np.arange(batch_size) < len(batch_order))
        pending.append((batch_order, values))
        if len(pending) > _AHEAD:
            finish()
    while pending:
        finish()
    return result, state


def compiled(step: Callable) -> Callable:
    """A detector's step that updates its state in place, instead of copying it for every batch."""
    return jax.jit(jax.named_scope("score")(step), donate_argnums=0)


def is_static(step: Callable, state, width: int) -> bool:
    """Whether `step` hands its state back as it came, so that order and batches do not matter."""
    images = jax.ShapeDtypeStruct((2, width), np.float32)
    valid = jax.ShapeDtypeStruct((2,), np.bool_)
    trace = jax.make_jaxpr(unwrap(step))(state, images, valid).jaxpr
    leaves = len(jax.tree.leaves(state))
    return list(trace.outvars[1:]) == list(trace.invars[:leaves])
