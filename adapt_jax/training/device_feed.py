"""Training images that live on every device; many steps are one dispatch."""

import numpy as np

from adapt_jax.runtime import compilation, sharding
from adapt_jax.training.sharded import Metrics, longest_dispatch, sharded_loop
from adapt_jax.training.train_state import TrainState


class DeviceFeed:
    """The whole set lies on every device; many steps are one dispatch."""

    def __init__(self, config, mesh, images, targets, state: TrainState, step, names: bool = False):
        """Places images (N, S, S, 3) and targets (N,), and compiles; see `make`."""
        self.max_steps = longest_dispatch(config, len(images))
        self.described = "all images on every device"
        self._data = sharding.replicate(mesh, images), sharding.replicate(mesh, targets)
        loop = sharded_loop(config, mesh, step, len(images), self.max_steps)
        lowered = loop.lower(state, *self._data, np.int32(1))
        self.program, self.compiled = compilation.timed(lowered, names=names)

    def run(self, state: TrainState, count: int) -> tuple[TrainState, Metrics]:
        """See `Feed`."""
        state, metrics = self.program(state, *self._data, np.int32(count))
        return state, {k: np.asarray(v)[:count] for k, v in metrics.items()}

    def close(self) -> None:
        """See `Feed`."""
