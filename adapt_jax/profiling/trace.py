"""Records a trace of the steps START to STOP - 1 of a job into one folder.

As many steps just before START are timed without a trace: recording costs time, on CPUs much of it.
"""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator

import jax

from adapt_jax.profiling import summary
from adapt_jax.runtime import compilation, processes


class Trace:
    """Records some steps of a job and sums them up in summary.txt and summary.json.

    Steps may be taken several at a time; `around` goes around them, `reached` comes after.
    """

    def __init__(
        self,
        steps: tuple[int, int] | None,
        folder: pathlib.Path,
        report_progress: Callable[[str], None],
        *,
        unit: str = "step",
    ):
        """`steps` is (START, STOP), or None to record nothing; `unit` is what they are called."""
        self._steps, self._folder, self._report_progress, self._unit = (
            steps,
            pathlib.Path(folder),
            report_progress,
            unit,
        )
        self._subject: summary.Subject | None = None
        self._first: int | None = None  # of the steps recorded
        self._last_reached = 0
        self._untraced, self._untraced_seconds = 0, 0.0  # steps just before START
        self._traced = 0.0  # seconds the steps recorded took
        self._running = False

    @property
    def wanted(self) -> bool:
        """Whether there is anything left to record."""
        return self._steps is not None

    def watch(self, subject: summary.Subject) -> None:
        """Says which compiled program the steps are."""
        self._subject = subject

    def boundaries(self, step: int) -> list[int]:
        """The steps after `step` that must not lie inside several taken at once."""
        if self._steps is None:
            return []
        start, stop = self._steps
        return [s for s in (2 * start - stop, start, stop) if s > step]

    def around(self, step: int) -> contextlib.AbstractContextManager:
        """Tracing, or timing, of steps from `step` on if they are in range; else nothing.

        What runs inside must be finished when it is left.
        """
        if self._steps is None:
            return contextlib.nullcontext()
        return self._around(step)

    @contextlib.contextmanager
    def _around(self, step: int) -> Iterator[None]:
        start, stop = self._steps
        self._last_reached = step
        if start <= step < stop:
            if not self._running:
                jax.profiler.start_trace(str(_own(self._folder)))
                self._running, self._first = True, step
            began = time.perf_counter()
            with jax.profiler.StepTraceAnnotation(self._unit, step_num=step):
                yield
            self._traced += time.perf_counter() - began
            return
        began = time.perf_counter()
        yield
        if max(1, 2 * start - stop) <= step < start:  # the very first is no measure
            self._untraced_seconds += time.perf_counter() - began
            self._untraced -= step

    def reached(self, step: int) -> None:
        """To be called after steps, with the number of the next one."""
        if self._steps is None:
            return
        start, stop = self._steps
        if max(1, 2 * start - stop) <= self._last_reached < start:
            self._untraced += step
        self._last_reached = step
        if step >= stop and self._running:
            self._finish(step)

    def cut(self) -> None:
        """Ends a trace that is being recorded, if one is."""
        if self._running:
            self._finish(self._last_reached)

    def close(self) -> None:
        """Ends a trace that the end of the job, or an exception, cuts short."""
        self.cut()
        if self._steps is not None:
            self._report_progress(
                f"profile: nothing recorded; the job took no {self._unit} of {self._steps[0]}:"
                f"{self._steps[1]} (they count from 0)"
            )
            self._steps = None

    def _finish(self, step: int) -> None:
        jax.profiler.stop_trace()
        self._running, self._steps = False, None
        if not processes.is_main():
            return
        steps = self._first, step
        before = self._untraced, self._untraced_seconds
        recorded = summary.Recording(self._folder, self._unit, steps, self._traced, *before)
        try:
            page = summary.write(recorded, self._subject)
        except Exception as e:  # whatever a backend does not tell, the job goes on
            self._report_progress(f"profile: recorded in {self._folder}, but not summed up: {e!r}")
            return
        self._report_progress(summary.text(page).rstrip())
        self._report_progress(f"profile: {self._folder / 'summary.txt'}")


def _own(folder: pathlib.Path) -> pathlib.Path:
    """Where this process records: two on one machine would write one file."""
    return folder if processes.is_main() else folder / f"process{jax.process_index()}"


@contextlib.contextmanager
def calls(
    steps: tuple[int, int] | None,
    folder: pathlib.Path,
    report_progress: Callable[[str], None],
    *,
    unit: str,
    **about,
) -> Iterator[Callable[[Callable, Callable], Callable] | None]:
    """The same for a job that calls compiled functions itself: a step is one call of them.

    Yields `profile(function, lower)`, which returns the function to call instead;
    `lower(*same arguments)` is the function before compilation. None if there is nothing to record.

    Args:
      steps, folder, report_progress, unit: arguments of `Trace`.
      **about: fields of `Subject` that describe the job.
    """
    if steps is None:
        yield None
        return
    calls = _Calls(Trace(steps, folder, report_progress, unit=unit), about)
    try:
        yield calls.profile
    finally:
        calls.trace.close()


class _Calls:
    """How many calls there were, of whatever function."""

    def __init__(self, trace: Trace, about: dict):
        self.trace, self._about, self._count, self._known = trace, about, 0, None

    def profile(self, function: Callable, lower: Callable) -> Callable:
        def call(*arguments):
            if not self.trace.wanted:
                return function(*arguments)
            if self._known is not function:
                self.trace.cut()  # a page is about one program
                if not self.trace.wanted:
                    return function(*arguments)
                program, timing = compilation.timed(lower(*arguments), names=True)
                self.trace.watch(summary.Subject(program, timing, **self._about))
                self._known = function
            with self.trace.around(self._count):
                out = jax.block_until_ready(function(*arguments))
            self._count += 1
            self.trace.reached(self._count)
            return out

        return call
