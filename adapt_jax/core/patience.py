"""Waits for storage and other processes, with a time limit."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from adapt_jax.core.errors import NoAnswer

SECONDS = 120
T = TypeVar("T")


def wait(future: "Future[T]", what: Callable[[], str]) -> T:
    """The result of a future that reads one image, or a few.

    Seconds are counted one by one: those in which this program itself was stopped (Ctrl-Z) do not
    count.

    Args:
      future: future of a pool, whose earlier futures have already been waited for.
      what: function that returns the beginning of the error message if nothing comes: a name for
        what was waited for.

    Raises:
      NoAnswer: nothing came for `SECONDS`.
    """
    for _ in range(SECONDS):
        try:
            return future.result(timeout=1)
        except TimeoutError:
            if future.done():  # then it is the result
                raise
    raise NoAnswer(f"{what()} has not been read for {SECONDS} s; does the storage it is on answer?")
