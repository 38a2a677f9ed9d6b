"""TrainState and the one train step: the only gradient in the package.

The step is pure: state in, state out. `make_loop` runs many steps in one dispatch over a data set
that lives on the device, drawing batches and augmentation from keys folded with the step, so that
nothing but the state decides what comes next and a resumed run equals one that never stopped.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapt_jax import microbatches
from adapt_jax.methods.base import Method
from adapt_jax.models.base import Model
from adapt_jax.schedules import Schedule

# What each random stream is for; folded into the run's key.
INIT_MODEL, INIT_METHOD, ORDER, AUGMENT, REFRESH = range(5)


class TrainState(NamedTuple):
    """Everything that decides the rest of a run; all of it is in the checkpoint.

    step () int32: optimiser steps taken. key: typed PRNG key of the run, never advanced.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    method_state: Any
    key: jax.Array


Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, jax.Array, jax.Array], tuple[TrainState, Metrics]]


def sgd(*, momentum: float, nesterov: bool, weight_decay: float) -> optax.GradientTransformation:
    """SGD as PyTorch executes it, without the rate: decay joins the gradient before the momentum.

    The decay is on every parameter, biases and BatchNorm included, as in the official recipes.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.trace(decay=momentum, nesterov=nesterov)
    )


def only(
    optimizer: optax.GradientTransformation, trainable: Callable[[Any], Any] | None
) -> optax.GradientTransformation:
    """`optimizer` for the parameters `trainable(params)` is True for; the others are not updated.

    Those have no optimiser state either. None: all of them are trained.
    """
    if trainable is None:
        return optimizer

    def fixed(params):
        return jax.tree.map(lambda keep: not keep, trainable(params))

    return optax.chain(optax.masked(optimizer, trainable), optax.masked(optax.set_to_zero(), fixed))


def create(key, model: Model, method: Method, optimizer, image_shape, dtype) -> TrainState:
    """The state before the first step; `dtype` is that of the parameters."""
    variables = model.init(jax.random.fold_in(key, INIT_MODEL), image_shape, dtype)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(variables["params"]),
        method_state=method.init(jax.random.fold_in(key, INIT_METHOD)),
        key=key,
    )


def make_step(
    model: Model,
    method: Method,
    optimizer: optax.GradientTransformation,
    schedule: Schedule,
    augment: Callable[[jax.Array, jax.Array], jax.Array],
    replicate: Callable[[jax.Array], jax.Array] = lambda x: x,
    parts: int = 1,
) -> Step:
    """Builds `step(state, images, labels) -> (state, metrics)`.

    images (B, H, W, 3) uint8, labels (B,) int32, taken from `targets`. A step whose loss or
    gradient is not finite changes nothing but the step count and reports `skipped` = 1.

    Args:
      model: the network.
      method: the objective.
      optimizer: transforms gradients into updates of rate 1.
      schedule: step -> learning rate.
      augment: (key, images) -> (B, V, h, w, 3) float views.
      replicate: constrains the small (V, B, D) embeddings to live whole on every device.
      parts: micro-batches the network sees one after the other, see `microbatches`.
    """

    def step(state: TrainState, images: jax.Array, labels: jax.Array):
        key = jax.random.fold_in(jax.random.fold_in(state.key, AUGMENT), state.step)
        with jax.named_scope("augment"):
            views = augment(key, images)  # (B, V, h, w, 3): the views of an image stay adjacent

        def encode(params, views):
            batch, num_views = views.shape[:2]
            rows = views.reshape(batch * num_views, *views.shape[2:])
            variables = {"params": params, "batch_stats": state.batch_stats}
            with jax.named_scope("forward"):
                outputs, batch_stats = model.apply(variables, rows, train=True)
            seen = getattr(outputs, method.reads)  # (B*V, D)
            seen = jnp.swapaxes(seen.reshape(batch, num_views, -1), 0, 1)  # (V, B, D)
            return seen, batch_stats

        def loss_fn(seen):
            with jax.named_scope("loss"):
                return method.loss(replicate(seen), replicate(labels), state.method_state)

        run = microbatches.value_and_grad(encode, loss_fn, parts)
        loss, (method_state, metrics), batch_stats, gradient = run(state.params, views)
        with jax.named_scope("update"):
            rate = schedule(state.step)
            direction, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            params = jax.tree.map(
                lambda p, d: p - (rate * d).astype(p.dtype), state.params, direction
            )
            norm = optax.tree.norm(gradient)
            fine = jnp.isfinite(loss) & jnp.isfinite(norm)
            new = (params, batch_stats, opt_state, method_state)
            old = (state.params, state.batch_stats, state.opt_state, state.method_state)
            kept = jax.tree.map(lambda n, o: jnp.where(fine, n, o), new, old)
        metrics = metrics | {
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "skipped": 1 - fine.astype(jnp.int32),
        }
        return TrainState(state.step + 1, *kept, state.key), metrics

    return step


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
      step: from `make_step`.
      batch_size: B, global.
      num_images: N.
      max_steps: upper bound of `count`.
      shard: constrains the batch's indices to be split over the devices.
    """
    per_epoch = steps_per_epoch(num_images, batch_size)

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

        shapes = jax.eval_shape(take, state)[1]
        log = jax.tree.map(lambda m: jnp.zeros((max_steps, *m.shape), m.dtype), shapes)
        return jax.lax.fori_loop(0, count, body, (state, log))

    return loop


def epoch_order(key: jax.Array, epoch: jax.Array, num_images: int) -> jax.Array:
    """The order (N,) in which an epoch visits the images; `key` is the run's."""
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)
    return jax.random.permutation(epoch_key, num_images)


def targets(method: Method, labels: np.ndarray | None, num_images: int) -> np.ndarray:
    """What the loss is told of each training image, (N,) int32: its label, or its index.

    Args:
      method: the objective; `Method.targets` decides.
      labels: (N,) int, or None where there are none.
      num_images: N.
    """
    if method.targets == "indices":
        return np.arange(num_images, dtype=np.int32)
    return np.asarray(labels, np.int32)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """ceil(N / B)."""
    return -(-num_images // batch_size)
