"""The training step: the only gradient of a network's parameters in the package."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapt_jax.methods.base import Method
from adapt_jax.training import microbatches, packed
from adapt_jax.training.parts import Parts
from adapt_jax.training.train_state import AUGMENT, TrainState

Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, jax.Array, jax.Array], tuple[TrainState, Metrics]]


def make_step(
    parts: Parts,
    *,
    replicate: Callable[[jax.Array], jax.Array] = lambda x: x,
    num_microbatches: int = 1,
) -> Step:
    """Builds `step(state, images, labels) -> (state, metrics)`.

    images (B, H, W, 3) uint8, labels (B,) int32, taken from `loss_labels`. A step whose loss or
    gradient is not finite, or that would leave anything in the state that is not, changes nothing
    but the step count and reports `skipped` = 1. A state that is packed stays packed, see `packed`.

    Args:
      parts: the network, method, optimiser, schedule and augmentation.
      replicate: function that constrains the small (V, B, D) embeddings to be replicated on every
        device.
      num_microbatches: number of microbatches that go through the network one after the other, see
        `microbatches`.
    """
    model, method = parts.model, parts.method

    def step(state: TrainState, images: jax.Array, labels: jax.Array):
        key = jax.random.fold_in(jax.random.fold_in(state.key, AUGMENT), state.step)
        with jax.named_scope("augment"):
            # (B, V, h, w, 3): the views of an image stay adjacent.
            views = parts.augment(key, images)

        statistics = packed.unpack(state.batch_stats)

        def encode(params, views):
            batch, num_views = views.shape[:2]
            rows = views.reshape(batch * num_views, *views.shape[2:])
            variables = {"params": params, "batch_stats": statistics}
            with jax.named_scope("forward"):
                outputs, new_stats = model.apply(variables, rows, train=True)
            seen = getattr(outputs, method.reads)  # (B*V, D)
            seen = jnp.swapaxes(seen.reshape(batch, num_views, -1), 0, 1)  # (V, B, D)
            return seen, new_stats

        def loss_fn(seen):
            with jax.named_scope("loss"):
                return method.loss(replicate(seen), replicate(labels), state.method_state)

        run = microbatches.value_and_grad(encode, loss_fn, num_microbatches)
        params = packed.unpack(state.params)
        loss, (method_state, metrics), new_stats, gradient = run(params, views)
        with jax.named_scope("update"):
            rate = parts.schedule(state.step)
            gradient = packed.like(gradient, state.params)
            new_stats = packed.like(new_stats, state.batch_stats)
            direction, opt_state = parts.optimizer.update(gradient, state.opt_state, state.params)
            params = jax.tree.map(
                lambda p, d: p - (rate * d).astype(p.dtype), state.params, direction
            )
            norm = optax.tree.norm(gradient)
            new = (params, new_stats, opt_state, method_state)
            old = (state.params, state.batch_stats, state.opt_state, state.method_state)
            fine = jnp.isfinite(loss) & jnp.isfinite(norm) & _all_finite(new)
            kept = jax.tree.map(lambda n, o: jnp.where(fine, n, o), new, old)
        metrics = metrics | {
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "skipped": 1 - fine.astype(jnp.int32),
        }
        params, batch_stats, opt_state, method_state = kept
        number = state.step + 1
        after = TrainState(number, params, batch_stats, opt_state, method_state, state.key)
        return after, metrics

    return step


def _all_finite(tree: Any) -> jax.Array:
    """Whether every number of every array is finite, () bool.

    The least of N answers by sorting: XLA repeats a chain of N ands for everything that depends on
    it, which are N arrays, and compiles for a minute; it does not repeat a sort.
    """
    arrays = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.sort(jnp.array([jnp.isfinite(x).all() for x in arrays]))[0]


def loss_labels(method: Method, labels: np.ndarray | None, num_images: int) -> np.ndarray:
    """The label (N,) int32 that the loss gets for each training image: its class, or its index.

    Args:
      method: the objective, whose `label_kind` decides.
      labels: class labels (N,), integers, or None where there are none.
      num_images: number of training images N.
    """
    if method.label_kind == "indices":
        return np.arange(num_images, dtype=np.int32)
    return np.asarray(labels, np.int32)
