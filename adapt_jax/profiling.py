"""Traces of chosen steps, for XProf, TensorBoard or Perfetto."""

import contextlib
import pathlib

import jax


class Trace:
    """Records steps START to STOP - 1 of a job into a folder."""

    def __init__(self, steps: tuple[int, int] | None, folder: pathlib.Path):
        """`steps` is (START, STOP), or None to record nothing."""
        self._steps, self._folder = steps, str(folder)

    def boundaries(self, step: int) -> list[int]:
        """The steps after `step` at which tracing starts or stops."""
        return [s for s in self._steps or () if s > step]

    def around(self, step: int) -> contextlib.AbstractContextManager:
        """Tracing, if `step` is in range; else nothing."""
        if self._steps and self._steps[0] <= step < self._steps[1]:
            return jax.profiler.trace(self._folder)
        return contextlib.nullcontext()
