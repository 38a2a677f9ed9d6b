"""The optimiser as the official programs execute it."""

from collections.abc import Callable
from typing import Any

import jax
import optax


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
