"""Measures in turns: some steps of ours, some of a peer's, which is a process of its own."""

import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
        self._process.stdin.close()
        self._process.wait(30)

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
    ours: Callable[[int], float], peer: Peer | None, count: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds a step, `rounds` of each, alternating; the first of each is not counted."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + rounds):
        found[0].append(ours(count))
        if peer:
            found[1].append(peer.seconds(count))
    return found[0][1:], found[1][1:]


def row(ours: Sequence[float], theirs: Sequence[float], what: str = "step") -> dict[str, float]:
    """Medians in ms, and how often the peer's is ours."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {
        f"ms a {what}": 1e3 * mine,
        f"PyTorch, ms a {what}": 1e3 * other,
        "ratio of medians": other / mine,
    }
