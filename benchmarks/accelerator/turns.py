"""Measures in turns: some steps of ours, some of a peer's, which is a process of its own."""

import contextlib
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

ROOT = pathlib.Path(__file__).parents[2]


class Peer:
    """A task of `peer` in PyTorch, which waits for its turns; `facts` is what it says of itself."""

    def __init__(self, task: str, arguments: dict[str, Any]):
        """Starts it; `wait` waits until it can be measured."""
        command = [sys.executable, "-m", "benchmarks.accelerator.peer", task, json.dumps(arguments)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self.facts: dict[str, Any] = {}

    def wait(self) -> "Peer":
        """Until it is ready; RuntimeError with its reason if it never is."""
        self.facts = self._answer()
        return self

    def seconds(self, count: int) -> float:
        """Of each of `count` steps of its task."""
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return self._answer()["seconds"]

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(OSError):  # it has ended already
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:  # other lines are libraries'
            if line.startswith("{"):
                answer = json.loads(line)
                if "failed" in answer:
                    raise RuntimeError(f"PyTorch: {answer['failed']}")
                return answer
        raise RuntimeError(f"PyTorch's process ended with {self._process.wait()}")


def seconds_of(run: Callable[[], Any], count: int) -> float:
    """Of each of `count` calls, which the device does one after the other."""
    jax.block_until_ready(run())
    began = time.perf_counter()
    for _ in range(count):
        out = run()
    jax.block_until_ready(out)
    return (time.perf_counter() - began) / count


def in_turns(
    ours: Callable[[int], float], peer: Peer, count: int, rounds: int
) -> Iterator[tuple[list[float], list[float]]]:
    """Seconds a step, so far, after each of `rounds` of each; the first of each is not counted."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(1 + rounds):
        took = ours(count), peer.seconds(count)
        if turn:
            for seconds, all_ in zip(took, found, strict=True):
                all_.append(seconds)
            yield found


def beside(
    task: str,
    arguments: dict[str, Any],
    ours: Callable[[int], float],
    count: int,
    rounds: int,
    note: Callable[..., None],
    images: int = 0,
) -> dict[str, Any]:
    """Measures `ours` and a task of `peer` in turns. Nothing that the peer does is an error here.

    Args:
      task, arguments: of the peer.
      ours: seconds of each of a number of steps.
      count: steps of a round.
      rounds: how many are counted.
      note: called with values of the row, after each round and if the peer fails.
      images: of a step, for images a second instead of ms.

    Returns:
      What the peer says of itself; {} if it could not be measured.
    """
    if importlib.util.find_spec("torch") is None:
        note(how="PyTorch is not installed")
        return {}
    peer = Peer(task, arguments)
    try:
        note(how=peer.wait().facts["how"])
        for found in in_turns(ours, peer, count, rounds):
            note(**row(*found, images))
    except Exception as e:
        note(**{"PyTorch failed": reason(e)})
        return {}
    finally:
        peer.close()
    return peer.facts


def row(ours: Sequence[float], theirs: Sequence[float], images: int = 0) -> dict[str, float]:
    """Medians in ms, or images a second of steps of `images`; and how often the peer's is ours."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = {"ratio of medians": other / mine}
    if images:
        return {"images/s": images / mine, "PyTorch, images/s": images / other, **ratio}
    return {"ms a step": 1e3 * mine, "PyTorch, ms a step": 1e3 * other, **ratio}


def reason(error: Exception) -> str:
    """The first line of what went wrong."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
