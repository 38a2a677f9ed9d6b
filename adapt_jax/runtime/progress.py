"""Progress and speed of a long job, reported every few seconds."""

import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two messages
_QUICK = 1.0  # what takes no longer needs no second one


def reporter(
    report_progress: Callable[[str], None], what: str, total: int, unit: str = "images"
) -> Callable[[int], None]:
    """`on_batch(count)`, to be called with the number done so far, of `total`.

    The last message has the mean speed. Compilation counts, so a short job looks slow.

    Args:
      report_progress: function called with one line of text.
      what: description of the job.
      total: number of things to do.
      unit: plural noun for these things, such as "images".
    """
    began = time.perf_counter()
    said = began
    report_progress(f"{what}: {total:,} {unit}")

    def on_batch(count: int) -> None:
        nonlocal said
        now = time.perf_counter()
        if now - said < EVERY and (count < total or now - began < _QUICK):
            return
        said = now
        speed = count / max(now - began, 1e-9)
        report_progress(f"{what}: {count:,} of {total:,} {unit}, {speed:,.0f} {unit}/s")

    return on_batch
