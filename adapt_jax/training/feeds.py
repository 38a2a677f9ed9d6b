"""Where training images come from: kept on the devices, or read by the host while training.

Both run the same step on batches in the same order, which follows from the run's key and the step
alone; so does what the host crops. A run may therefore stop anywhere and go on with other numbers
of processes, devices and workers.
"""

from typing import Protocol

import jax

from adapt_jax.data import sources
from adapt_jax.data.sources import Dataset
from adapt_jax.runtime import compilation
from adapt_jax.training import train_step
from adapt_jax.training.device_feed import DeviceFeed
from adapt_jax.training.host_feed import HostFeed
from adapt_jax.training.parts import Parts
from adapt_jax.training.sharded import Metrics, sharded_step
from adapt_jax.training.train_state import TrainState


class Feed(Protocol):
    """Runs steps.

    max_steps: bounds `count`. described: where images are, in a few words. program: what is
    dispatched, and compiled: what compiling it took.
    """

    max_steps: int
    described: str
    program: jax.stages.Compiled
    compiled: compilation.Timing

    def run(self, state: TrainState, count: int) -> tuple[TrainState, Metrics]:
        """Takes `count` steps within one epoch; metrics (count,) each, on the host."""

    def close(self) -> None:
        """Lets go of whatever it holds."""


def make(
    config,
    parts: Parts,
    mesh,
    train_set: Dataset,
    state: TrainState,
    *,
    names: bool = False,
) -> Feed:
    """Compiles the step and prepares to feed it.

    Args:
      config: of the run.
      parts: from `build.build_for`.
      mesh: the devices.
      train_set: whose images decide which feed it is.
      state: where training starts; only its step, its key and its shapes matter.
      names: see `compilation.timed`.
    """
    step = sharded_step(config, parts, mesh)
    targets = train_step.targets(parts.method, train_set.labels, len(train_set.images))
    kind = HostFeed if sources.read_while_training(train_set) else DeviceFeed
    return kind(config, mesh, train_set.images, targets, state, step, names)
