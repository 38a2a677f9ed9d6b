"""AdaNeg's memory: the most confident images of every class, written one after the other.

Zhang & Zhang 2024, section 3.2; as executed by YBZh/OpenOOD-VLM.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Memory(NamedTuple):
    """S slots for each of C classes.

    images (C, S, D), zero where empty; entropy (C, S), of the stored images' predictions;
    count (C,) int32, slots filled.
    """

    images: jax.Array
    entropy: jax.Array
    count: jax.Array  # type: ignore[assignment]  # hides tuple.count


def empty(classes: int, slots: int, width: int, dtype) -> Memory:
    """A memory without images."""
    return Memory(
        jnp.zeros((classes, slots, width), dtype),
        jnp.zeros((classes, slots), dtype),
        jnp.zeros(classes, jnp.int32),
    )


def write(
    memory: Memory, images: jax.Array, classes: jax.Array, entropy: jax.Array, selected: jax.Array
) -> tuple[Memory, jax.Array]:
    """Offers the selected images, in batch order, each to its class.

    A class with a free slot takes the image. A full one takes it only if some stored entropy is
    strictly larger, in place of the largest (the last of equal ones).

    The result is that of a loop over the batch, in as many rounds as the most frequent class has
    selected images: classes do not affect each other, so round r offers the r-th image of each.

    Args:
      images: unit rows (B, D).
      classes: integers (B,), the class that each image is offered to.
      entropy: entropy (B,) of each image's prediction.
      selected: bool (B,), whether each image is offered at all.

    Returns:
      The new memory, and written (B,) bool: the image was taken, if only until a later one came.
    """
    _, slots = memory.entropy.shape
    batch = len(classes)
    if not slots:
        return memory, jnp.zeros_like(selected)
    index = jnp.arange(batch)
    earlier = (index[None] < index[:, None]) & selected[None]  # row i: the images before i
    same = classes[:, None] == classes[None]
    turn = jnp.sum(earlier & same, axis=1)
    rounds = jnp.max(jnp.where(selected, turn + 1, 0))

    def offer(carry):
        round_, table, count, places = carry
        row, filled = table[classes], count[classes]  # (B, S), (B,)
        largest = slots - 1 - jnp.argmax(row[:, ::-1], axis=1)
        full = filled == slots
        better = jnp.any(row > entropy[:, None], axis=1)
        taken = selected & (turn == round_) & (~full | better)
        place = jnp.where(taken, jnp.where(full, largest, filled), slots)  # `slots` is dropped
        table = table.at[classes, place].set(entropy, mode="drop")
        count = count.at[classes].add((taken & ~full).astype(count.dtype))
        return round_ + 1, table, count, jnp.where(taken, place, places)

    start = (jnp.zeros_like(rounds), memory.entropy, memory.count, jnp.full(batch, slots))
    _, table, count, places = jax.lax.while_loop(lambda carry: carry[0] < rounds, offer, start)
    # Of the images that took one slot in this batch only the last is there at the end.
    written = places < slots
    again = earlier.T & same & (places[:, None] == places[None])
    remains = written & ~jnp.any(again, axis=1)
    target = jnp.where(remains, places, slots)
    return Memory(memory.images.at[classes, target].set(images, mode="drop"), table, count), written
