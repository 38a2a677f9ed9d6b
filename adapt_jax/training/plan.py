"""The numbers a training run follows: how many images a step, how many steps, what between them."""

from collections.abc import Iterable
from typing import NamedTuple

_RECORDS = 20  # of a run, where steps between records would make it fewer
_SHORTEST = 5  # steps between records, of which one may well be skipped


class Plan(NamedTuple):
    """The length of a run and the intervals in it; counts are of optimiser steps or of images.

    num_images: images of the training set. batch_size: images of a step, over all devices.
    views: augmented views of each image. microbatches: parts a batch goes through the network in.
    total_steps: steps of the whole run. log_every, checkpoint_every: steps between two records,
    and between two checkpoints.
    """

    num_images: int
    batch_size: int
    views: int
    microbatches: int
    total_steps: int
    log_every: int
    checkpoint_every: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every image was seen once."""
        return steps_per_epoch(self.num_images, self.batch_size)

    @property
    def longest_dispatch(self) -> int:
        """The most steps between two things that happen between steps."""
        return min(self.log_every, self.checkpoint_every, self.steps_per_epoch, self.total_steps)

    def next_stop(self, step: int, limits: Iterable[int] = ()) -> int:
        """The step before which nothing has to happen between steps, from `step` on.

        Args:
          step: number of steps taken so far.
          limits: further steps to stop at, such as the ends of a profile.
        """
        intervals = (self.log_every, self.checkpoint_every, self.steps_per_epoch)
        return min(*(step - step % n + n for n in intervals), self.total_steps, *limits)


def steps_between_records(log_every: int, total_steps: int) -> int:
    """`log_every`, or less in a run too short to have 20 records; but not below 5."""
    return min(log_every, max(_SHORTEST, total_steps // _RECORDS))


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """ceil(N / B)."""
    return -(-num_images // batch_size)
