"""The state of a training run: everything that decides its next steps, in one record.

Batches and augmentation are drawn from the key folded with the step, so that nothing but the state
decides what comes next and a resumed run equals one that never stopped.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.training.parts import Parts

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


def create(key: jax.Array, parts: Parts, image_shape: tuple[int, int, int]) -> TrainState:
    """The state before the first step.

    Args:
      key: random key of the run, from its seed.
      parts: the network, method and optimiser; `parts.dtype` is the dtype of the parameters.
      image_shape: shape (H, W, 3) of the network's input.
    """
    variables = parts.model.init(jax.random.fold_in(key, INIT_MODEL), image_shape, parts.dtype)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=parts.optimizer.init(variables["params"]),
        method_state=parts.method.init(jax.random.fold_in(key, INIT_METHOD)),
        key=key,
    )
