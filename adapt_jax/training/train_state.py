"""TrainState and the one train step: the only gradient in the package.

The step is pure: state in, state out. `make_loop` runs many steps in one dispatch over a data set
that lives on the device, drawing batches and augmentation from keys folded with the step, so that
nothing but the state decides what comes next and a resumed run equals one that never stopped.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.methods.base import Method
from adapt_jax.models.base import Model

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
