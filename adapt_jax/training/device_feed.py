"""Training images that live on every device; many steps are one dispatch."""

import numpy as np

from adapt_jax.runtime import compilation, sharding
from adapt_jax.training.plan import Plan
from adapt_jax.training.sharded import Metrics, sharded_loop
from adapt_jax.training.train_state import TrainState
from adapt_jax.training.train_step import Step


class DeviceFeed:
    """The whole set is stored on every device; many steps are one dispatch."""

    def __init__(
        self,
        step: Step,
        plan: Plan,
        mesh,
        images,
        labels,
        state: TrainState,
        *,
        keep_names: bool = False,
    ):
        """Places images (N, S, S, 3) and labels (N,) on the devices, and compiles; see `make`."""
        self.max_steps = plan.longest_dispatch
        self.described = "all images on every device"
        self._data = sharding.replicate(mesh, images), sharding.replicate(mesh, labels)
        loop = sharded_loop(step, plan, mesh, self.max_steps)
        lowered = loop.lower(state, *self._data, np.int32(1))
        self.program, self.compiled = compilation.timed(lowered, names=keep_names)

    def run(self, state: TrainState, count: int) -> tuple[TrainState, Metrics]:
        """See `Feed`."""
        state, metrics = self.program(state, *self._data, np.int32(count))
        return state, {k: np.asarray(v)[:count] for k, v in metrics.items()}

    def close(self) -> None:
        """See `Feed`."""
