"""The parts of a training run, in one record."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from adapt_jax.methods.base import Method
from adapt_jax.models.base import Model
from adapt_jax.training import schedules


class Parts(NamedTuple):
    """What the config's choices became, for data with a given number of classes."""

    model: Model
    method: Method
    optimizer: optax.GradientTransformation
    schedule: schedules.Schedule
    augment: Callable[[jax.Array, jax.Array], jax.Array]
    dtype: Any  # of images entering the network, and of parameters
