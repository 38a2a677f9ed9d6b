"""The gradient of a loss over the whole batch, with the network's memory for a part of it.

Contrastive losses compare every image of a batch with every other, so the gradients of parts of a
batch do not add up to that of the whole. What does: embed the parts one after the other, take the
loss and its gradient with respect to all embeddings, then go through the network once more, part
by part, backwards from there (Gao et al., "Scaling Deep Contrastive Learning Batch Size under
Memory Limited Setup", 2021). It costs one forward pass more.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def value_and_grad(encode: Callable, loss: Callable, count: int) -> Callable:
    """Builds `run(params, views) -> (loss, aux, statistics, gradient)`.

    views (B, V, h, w, 3). With `count` above 1 part j holds the images j, j + count, j + 2 count,
    ..., so that a batch split over devices needs no exchange between them. Embeddings, loss and
    gradient are those of the whole batch except where the network itself looks at other images:
    batch normalisation sees one part at a time, and its running statistics move by the mean of
    what the parts say.

    Args:
      encode: function (params, views (b, V, h, w, 3)) -> ((V, b, D), statistics).
      loss: function (V, B, D) -> (loss (), aux).
      count: number of microbatches, a divisor of B.
    """

    def whole(params, views):
        def of(params):
            seen, statistics = encode(params, views)
            value, aux = loss(seen)
            return value, (aux, statistics)

        (value, (aux, statistics)), gradient = jax.value_and_grad(of, has_aux=True)(params)
        return value, aux, statistics, gradient

    def in_parts(params, views):
        parts = _split(views, count, axis=0)
        seen, statistics = jax.lax.map(lambda part: encode(params, part), parts)
        (value, aux), cotangent = jax.value_and_grad(loss, has_aux=True)(_joined(seen, axis=1))

        def backward(total, inputs):
            part, cotangent = inputs
            _, pull = jax.vjp(lambda p: encode(p, part)[0], params)
            return jax.tree.map(jnp.add, total, pull(cotangent)[0]), None

        start = jax.tree.map(jnp.zeros_like, params)
        inputs = (parts, _split(cotangent, count, axis=1))
        gradient, _ = jax.lax.scan(backward, start, inputs)
        # As differences from the first: where all agree, as frozen statistics do, it is exact.
        mean = jax.tree.map(lambda s: s[0] + (s - s[:1]).mean(axis=0), statistics)
        return value, aux, mean, gradient

    return whole if count == 1 else in_parts


def _split(x: jax.Array, count: int, axis: int) -> jax.Array:
    """(.., B, ..) -> (count, .., B / count, ..), parts taken with a stride."""
    shape = (*x.shape[:axis], x.shape[axis] // count, count, *x.shape[axis + 1 :])
    return jnp.moveaxis(x.reshape(shape), axis + 1, 0)


def _joined(parts: Any, axis: int) -> jax.Array:
    """The inverse of `_split`."""
    back = jnp.moveaxis(parts, 0, axis + 1)
    shape = (*back.shape[:axis], back.shape[axis] * back.shape[axis + 1], *back.shape[axis + 2 :])
    return back.reshape(shape)
