"""How far a long job is and how fast it goes, said every few seconds."""

import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two messages
_QUICK = 1.0  # what takes no longer needs no second one


def reporter(
    say: Callable[[str], None], what: str, total: int, unit: str = "images"
) -> Callable[[int], None]:
    """`done(count)`, to be told how many of `total` are done; the last message has the mean speed.

    Compilation counts, so a short job looks slow.

    Args:
      say: takes a line.
      what: is being done.
      total: of the things counted.
      unit: what they are called.
    """
    began = time.perf_counter()
    said = began
    say(f"{what}: {total:,} {unit}")

    def done(count: int) -> None:
        nonlocal said
        now = time.perf_counter()
        if now - said < EVERY and (count < total or now - began < _QUICK):
            return
        said = now
        speed = count / max(now - began, 1e-9)
        say(f"{what}: {count:,} of {total:,} {unit}, {speed:,.0f} {unit}/s")

    return done
