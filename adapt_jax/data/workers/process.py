"""One process that decodes training images, started by `workers`. It imports no JAX.

    python -m adapt_jax.data.workers.process CONNECTION MEMORY NUMBER

CONNECTION and MEMORY are file descriptors it inherits. It writes into the shared memory, and goes
when the connection closes: however the job ends, nobody is left behind.
"""

import mmap
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data import decode
from adapt_jax.data.augment.host_crops import Crops


class Item(NamedTuple):
    """One image to be cut: where it is found (`decode.opened`), its name and number in the set."""

    encoded: str | bytes | np.ndarray
    name: str
    index: int  # type: ignore[assignment]  # hides tuple.index


class Task(NamedTuple):
    """Images that become consecutive rows of the shared buffer, from row `row`."""

    row: int
    step: int
    items: tuple[Item, ...]


def fill(
    rows: np.ndarray, crops: Crops, task: Task, begin: Callable[[int], None] = lambda i: None
) -> str:
    """Does a task; "", or the sentence about the first image that cannot be read.

    Args:
      rows: the shared buffer (R, V, S, S, 3), uint8.
      crops: settings of the random crops.
      task: images to decode and their place in the buffer.
      begin: function called with the index of the task's image that comes next.
    """
    for i, item in enumerate(task.items):
        begin(i)
        try:
            row = rows[task.row + i]
            cut = partial(crops.cut, step=task.step, index=item.index, out=row)
            decode.made(decode.opened, item.encoded, item.name, cut)
        except InputError as error:
            return str(error)
    return ""


def main(connection: int, memory: int, number: int) -> None:
    """Does tasks until nobody sends any more."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # meant for the job, which ends this
        signal.signal(ignored, signal.SIG_IGN)
    orders = Connection(connection)
    try:
        crops, head, shape = orders.recv()
        shared = mmap.mmap(memory, 0)
        progress = np.frombuffer(shared, np.int32, count=head // 4)
        rows = np.frombuffer(shared, np.uint8, offset=head, count=int(np.prod(shape)))
        rows = rows.reshape(shape)

        def begin(i: int) -> None:
            progress[number] = i

        while True:
            orders.send(fill(rows, crops, orders.recv(), begin))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
