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
from adapt_jax.training.host_feed import HostFeed, HostInput
from adapt_jax.training.parts import Parts
from adapt_jax.training.plan import Plan
from adapt_jax.training.sharded import Metrics, sharded_step
from adapt_jax.training.train_state import TrainState


class Feed(Protocol):
    """Runs steps.

    max_steps: the most steps of one call. described: where images are, in a few words.
    program: the compiled program, and compiled: what compiling it took.
    """

    max_steps: int
    described: str
    program: jax.stages.Compiled
    compiled: compilation.Timing

    def run(self, state: TrainState, count: int) -> tuple[TrainState, Metrics]:
        """Takes `count` steps within one epoch; metrics (count,) each, on the host."""

    def close(self) -> None:
        """Frees the images, threads and worker processes that the feed holds."""


def make(
    parts: Parts,
    plan: Plan,
    mesh,
    train_set: Dataset,
    state: TrainState,
    host_input: HostInput,
    *,
    keep_names: bool = False,
) -> Feed:
    """Compiles the step and prepares to feed it.

    Args:
      parts: the network, method, optimiser, schedule and augmentation.
      plan: the length of the run.
      mesh: the devices.
      train_set: the training images, which decide which feed it is, and their labels.
      state: the state at the start; only its step, its key and its shapes matter.
      host_input: settings for reading images that stay files.
      keep_names: whether the program keeps the names of its phases, see `compilation.timed`.
    """
    step = sharded_step(parts, mesh, plan.microbatches)
    labels = train_step.loss_labels(parts.method, train_set.labels, plan.num_images)
    arguments = (step, plan, mesh, train_set.images, labels, state)
    if sources.read_while_training(train_set):
        return HostFeed(*arguments, host_input, keep_names=keep_names)
    return DeviceFeed(*arguments, keep_names=keep_names)
