"""The parts of a training run, in one record."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from adapt_jax.methods.base import Method
from adapt_jax.models.base import Model
from adapt_jax.training import schedules


class Parts(NamedTuple):
    """What the config's choices became, for data with a given number of classes.

    model: the network. method: the objective. optimizer: turns gradients into updates of rate 1.
    schedule: step -> learning rate. augment: (key, images (B, H, W, 3) uint8) -> views
    (B, V, h, w, 3). dtype: of images entering the network, and of parameters.
    """

    model: Model
    method: Method
    optimizer: optax.GradientTransformation
    schedule: schedules.Schedule
    augment: Callable[[jax.Array, jax.Array], jax.Array]
    dtype: Any
