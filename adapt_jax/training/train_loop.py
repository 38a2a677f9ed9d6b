"""Many training steps in one dispatch, over a data set that lives on the device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adapt_jax.training import packed
from adapt_jax.training.plan import steps_per_epoch
from adapt_jax.training.train_state import ORDER, TrainState
from adapt_jax.training.train_step import Step


def make_loop(
    step: Step,
    *,
    batch_size: int,
    num_images: int,
    max_steps: int,
    shard: Callable[[jax.Array], jax.Array] = lambda x: x,
):
    """Builds `loop(state, images, labels, count) -> (state, metrics)`: many steps, one dispatch.

    images (N, H, W, 3) uint8 and labels (N,) live on every device. Each epoch visits a fresh
    permutation, ceil(N / B) steps long; its last batch is filled up from the epoch's beginning, so
    that no image is left out and every batch has B images. `count` <= `max_steps` is a run-time
    value: one compilation serves every call, which also keeps resumed runs bit-identical. A call
    must not cross the end of an epoch. Metrics come back stacked, (max_steps,) each, of which the
    first `count` are real.

    Args:
      step: the step function, from `make_step`.
      batch_size: global batch size B.
      num_images: number of training images N.
      max_steps: upper bound of `count`.
      shard: function that constrains the batch's indices to be split over the devices.
    """
    per_epoch = steps_per_epoch(num_images, batch_size)
    step = jax.jit(step, inline=True)  # traced once, for its shapes and for the loop

    def loop(state: TrainState, images, labels, count):
        order = epoch_order(state.key, state.step // per_epoch, num_images)

        def take(state):
            first = (state.step % per_epoch) * batch_size
            index = shard(order[(first + jnp.arange(batch_size)) % num_images])
            return step(state, images[index], labels[index])

        def body(i, carry):
            state, log = carry
            state, metrics = take(state)
            return state, jax.tree.map(lambda whole, one: whole.at[i].set(one), log, metrics)

        state = packed.pack_state(state)
        shapes = jax.eval_shape(take, state)[1]
        log = jax.tree.map(lambda m: jnp.zeros((max_steps, *m.shape), m.dtype), shapes)
        state, log = jax.lax.fori_loop(0, count, body, (state, log))
        return packed.unpack_state(state), log

    return loop


def epoch_order(key: jax.Array, epoch: jax.Array, num_images: int) -> jax.Array:
    """The order (N,) in which an epoch visits the images; `key` is the run's."""
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)
    return jax.random.permutation(epoch_key, num_images)
