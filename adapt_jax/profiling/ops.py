"""Reads a recorded trace: how long each operation of a compiled program took, and each step.

JAX writes one XSpace file per host. On GPUs and TPUs operations lie on the lines of the device's
own plane, on CPUs on the lines of the threads that ran them.
"""

import pathlib
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import jax

from adapt_jax.profiling.hlo import CONTROL, OTHER

Times = dict[str, float]  # seconds by name


class Event(NamedTuple):
    """One execution of an operation, in seconds from the trace's beginning."""

    op: str
    module: str
    start: float
    end: float
    own: float  # without what ran inside it, on the same line


class Recorded(NamedTuple):
    """The times of one program's operations in a trace.

    seconds: of every operation by name, all its executions and all threads or streams together.
    counts: how often each ran. starts: when, sorted.
    elsewhere: seconds of operations of other programs.
    busy: share of the time between first and last operation in which at least one was running.
    """

    seconds: Times
    counts: Mapping[str, int]
    starts: Mapping[str, list[float]]
    elsewhere: float
    busy: float


def newest(folder: pathlib.Path) -> pathlib.Path | None:
    """The file of the last trace in `folder`; None where there is none."""
    files = pathlib.Path(folder).glob("plugins/profile/*/*.xplane.pb")
    return max(files, key=lambda path: path.stat().st_mtime_ns, default=None)


def read(path: pathlib.Path, module: str, opcodes: Mapping[str, str]) -> Recorded:
    """Reads a trace of steps of one program.

    Args:
      path: path of an .xplane.pb file.
      module: name of the program.
      opcodes: opcodes of the program's instructions, by name; those that only wait for their body
        are left out.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    starts: defaultdict[str, list] = defaultdict(list)
    elsewhere, spans = 0.0, []
    for event in (event for line in lines(path) for event in line):
        if event.module not in ("", module) or event.op not in opcodes:
            elsewhere += event.own if opcodes.get(event.op) not in CONTROL else 0.0
            continue
        if opcodes[event.op] in CONTROL:
            continue
        seconds[event.op] += event.own
        starts[event.op].append(event.start)
        spans.append((event.start, event.end))
    counts = {op: len(times) for op, times in starts.items()}
    return Recorded(
        dict(seconds), counts, {k: sorted(v) for k, v in starts.items()}, elsewhere, _busy(spans)
    )


def step_seconds(recorded: Recorded, steps: int) -> list[float]:
    """Seconds from the beginning of one step to that of the next, one fewer than `steps`."""
    starts = step_starts(recorded, steps)
    return [b - a for a, b in zip(starts, starts[1:])]


def step_starts(recorded: Recorded, steps: int) -> list[float]:
    """When an operation that runs once per step began: of those, the first of a step.

    [] where there is none.
    """
    once = [op for op, count in recorded.counts.items() if count == steps]
    if not once:
        return []
    return min((recorded.starts[op] for op in once), key=lambda starts: starts[0])


def by_phase(recorded: Recorded, scopes: Mapping[str, tuple[str, str, str]]) -> Times:
    """Seconds of each phase, the longest first; other programs count as "other"."""
    total: defaultdict[str, float] = defaultdict(float)
    for op, seconds in recorded.seconds.items():
        total[scopes[op][0]] += seconds
    if recorded.elsewhere:
        total[OTHER] += recorded.elsewhere
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def spread(values: list[float]) -> dict[str, float]:
    """Median, least, most and number."""
    if not values:
        return {}
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "count": len(values),
    }


def lines(path: pathlib.Path) -> list[list[Event]]:
    """Every operation by line: the streams of the first device, or the threads of a CPU."""
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    devices = sorted((p for p in planes if p.name.startswith("/device:")), key=lambda p: p.name)
    by_plane = ([line for line in _of_plane(plane) if line] for plane in devices)
    first = next((events for events in by_plane if events), None)
    if first is None:
        first = [line for p in planes if p.name == "/host:CPU" for line in _of_plane(p) if line]
    return first


def _of_plane(plane) -> Iterator[list[Event]]:
    for line in plane.lines:
        raw = []
        for event in line.events:
            stats = dict(event.stats)
            op = stats.get("hlo_op")
            if op is None and line.name == "XLA Ops":  # a TPU names the whole instruction
                op = event.name.partition(" = ")[0].lstrip("%")
            if op:
                module = str(stats.get("hlo_module", "")).partition("(")[0]
                raw.append((event.start_ns, -event.duration_ns, str(op), module))
        yield list(_own_times(raw))


def _own_times(raw: Iterable[tuple[float, float, str, str]]) -> Iterator[Event]:
    """Events of one line, each without those nested in it."""
    open_: list[list] = []  # [op, module, start, end, own], outermost first

    def closed(entry):
        op, module, start, end, own = entry
        return Event(op, module, start / 1e9, end / 1e9, max(own, 0.0) / 1e9)

    for start, minus, op, module in sorted(raw):
        while open_ and open_[-1][3] <= start:
            yield closed(open_.pop())
        if open_:
            open_[-1][4] += minus
        open_.append([op, module, start, start - minus, -minus])
    while open_:
        yield closed(open_.pop())


def _busy(spans: list[tuple[float, float]]) -> float:
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    whole = reached - min((start for start, _ in spans), default=reached)
    return covered / whole if spans and whole > 0 else 0.0
