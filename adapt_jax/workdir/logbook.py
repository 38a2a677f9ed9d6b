"""A run's scalars: console with progress, JSON lines, and the `trackers` of the run."""

import contextlib
import json
import math
import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adapt_jax.core.files import write_atomically
from adapt_jax.runtime import processes
from adapt_jax.workdir.trackers import Tracker

FILE = "metrics.jsonl"
WORTH_SAYING = 0.05  # of the time, waiting for input
SILENCE = 60.0  # seconds after which a sign of life is printed between two records
DISPATCH = 15.0  # seconds that steps taken at once should not exceed


class Logbook:
    """Writes one record per logged step; only process 0 writes or prints.

    metrics.jsonl holds one JSON object per record: `step`, `epoch`, `time` (Unix seconds),
    `images_per_second`, and the means of the step metrics since the record before. `input_wait`,
    where images are read while training, is the share of that time the devices had no batch.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        total_steps: int,
        start: int,
        console: Console,
        trackers: Sequence[Tracker] = (),
    ):
        """Opens the files, dropping records after step `start` that a killed run left behind."""
        self._main = processes.is_main()
        self._console = console
        self._total = total_steps
        self._trackers = trackers
        self._file = self._progress = None
        self._recorded = self._said = time.monotonic()
        if not self._main:
            return
        path = pathlib.Path(workdir) / FILE
        kept = [r for r in read(workdir) if r["step"] <= start]
        write_atomically(path, "".join(json.dumps(r) + "\n" for r in kept).encode())
        self._file = path.open("a", buffering=1)
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console,
            )  # fmt: skip
            self._task = self._progress.add_task(
                "train", total=total_steps, completed=start, note=""
            )
            self._progress.start()

    def record(self, step: int, scalars: dict[str, float]) -> None:
        """Logs the scalars of `step`."""
        if not self._main:
            return
        clean = {k: v if math.isfinite(v) else None for k, v in scalars.items()}
        self._file.write(json.dumps({"step": step, "time": round(time.time(), 3)} | clean) + "\n")
        for tracker in self._trackers:
            tracker.scalars(step, scalars)
        self._recorded = self._said = time.monotonic()
        shown = {k: scalars[k] for k in ("loss", "alignment", "accuracy") if k in scalars}
        speed = scalars.get("images_per_second", 0.0)
        note = " ".join(f"{k} {v:.4f}" for k, v in shown.items()) + f" {speed:,.0f} images/s"
        if (wait := scalars.get("input_wait", 0.0)) >= WORTH_SAYING:
            note += f" {wait:.0%} waiting for input"
        if self._progress is not None:
            self._progress.update(self._task, completed=step, note=note)
        else:
            self._line(f"step {step}/{self._total} epoch {scalars.get('epoch', 0):.1f} {note}")

    def alive(self, step: int) -> None:
        """To be called after steps without a record; prints a line if there was none for a minute.

        Steps take all processes, so that one that is finished says that all of them are alive.
        """
        if not self._main:
            return
        now = time.monotonic()
        if self._progress is not None:
            self._progress.update(self._task, completed=step)
        elif now - self._said >= SILENCE:
            self._said = now
            count = jax.process_count()
            others = f", {count} processes alive" if count > 1 else ""
            self._line(
                f"step {step}/{self._total}, {now - self._recorded:.0f} s since the last record"
                f"{others}"
            )

    def _line(self, text: str) -> None:
        clock = time.strftime("%H:%M:%S")
        self._console.print(f"{clock} {text}", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Flushes and closes everything; safe to call twice."""
        if self._progress is not None:
            self._progress.stop()
        if self._file is not None:
            self._file.close()
        for tracker in self._trackers:
            tracker.close()
        self._file = self._progress = None
        self._trackers = ()


class Pace:
    """The number of steps that fit into one dispatch of DISPATCH seconds, equal on all processes.

    A dispatch cannot be heard from, stopped or saved before it ends.
    """

    def __init__(self):
        """The first dispatch is a single step, whose time is measured."""
        self._steps, self._at = 1, None

    def steps(self, step: int) -> int:
        """The most steps to take now; called before every dispatch, with the next step."""
        now = time.monotonic()
        if self._at is not None:
            before, then = self._at
            each = max((now - then) / max(step - before, 1), 1e-9)
            self._steps = max(1, min(int(DISPATCH / each), 2**30))
        self._at = step, now
        return processes.first(self._steps)


class Window:
    """Step metrics since the last record, and how fast they came."""

    def __init__(self, batch_size: int):
        """Starts the clock; `batch_size` is images per step."""
        self._batch_size = batch_size
        self._chunks: list[dict[str, np.ndarray]] = []
        self._began = time.perf_counter()

    @property
    def steps(self) -> int:
        """Steps since the last record."""
        return sum(len(chunk["skipped"]) for chunk in self._chunks)

    def add(self, metrics: dict[str, np.ndarray]) -> None:
        """Adds stacked step metrics, (steps,) each."""
        self._chunks.append(metrics)

    def all_skipped(self) -> bool:
        """Whether no step since the last record had a finite loss and gradient."""
        return all(chunk["skipped"].all() for chunk in self._chunks)

    def close(self) -> dict[str, float]:
        """Means over the steps that were not skipped, and a fresh window."""
        stacked = {k: np.concatenate([c[k] for c in self._chunks]) for k in self._chunks[0]}
        fine = stacked["skipped"] == 0
        means = {k: float(np.mean(v[fine])) for k, v in stacked.items()}
        now = time.perf_counter()
        means |= {
            "learning_rate": float(stacked["learning_rate"][-1]),
            "skipped": float(stacked["skipped"].sum()),
            "images_per_second": self._batch_size * len(fine) / (now - self._began),
        }
        if "input_wait" in stacked:  # seconds, of every step
            means["input_wait"] = float(stacked["input_wait"].sum() / (now - self._began))
        self._chunks, self._began = [], now
        return means


def read(workdir: pathlib.Path) -> list[dict]:
    """The records of a run so far; a line that is none (a kill cut it short) is left out."""
    path = pathlib.Path(workdir) / FILE
    records = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records
