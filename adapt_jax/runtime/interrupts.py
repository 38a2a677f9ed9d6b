"""Signals that stop a run, without losing its progress."""

import os
import signal


def heed_sigterm() -> None:
    """Makes SIGTERM end this process even if it is the first of a container.

    The kernel keeps from such a process what it has no handler for. During a compilation Python's
    handlers have to wait for its end.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))


class Deferred:
    """Context in which the first SIGTERM or Ctrl-C only sets `signal`; a second one acts at once.

    Long jobs look at `signal` between dispatches, save, and leave with exit code 128 + signal.
    """

    def __init__(self):
        """Nothing has arrived yet."""
        self.signal: int | None = None
        self._before = {}

    def __enter__(self):
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception):
        self._restore()

    def _note(self, number, frame):
        self.signal = number
        self._restore()

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
