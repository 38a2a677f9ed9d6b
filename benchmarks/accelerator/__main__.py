"""Runs the stages, each in a process of its own, and writes the tables after each.

python -m benchmarks.accelerator [--stages=recorded,scoring] [--minutes=7] [--out=DIR]
python -m benchmarks.accelerator --prepare=DIR [--images=NAME=SOURCE ...]     # with network
python -m benchmarks.accelerator --prepared=DIR                               # without
"""

import argparse
import contextlib
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from adapt_jax.core.errors import InputError
from benchmarks.accelerator import report, running, stages

ROOT = pathlib.Path(__file__).parents[2]
_SMALLEST = 20.0  # seconds without which no stage is started


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator")
    parser.add_argument("--stages", default="", help="names, with commas; default: the usual ones")
    parser.add_argument("--minutes", type=float, default=7.0, help="for all stages together")
    parser.add_argument("--out", default=str(ROOT / "benchmarks/results"), help="for the tables")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on any machine")
    parser.add_argument("--prepare", metavar="DIR", help="pack what a bare machine needs, and stop")
    parser.add_argument("--images", action="append", default=[], metavar="NAME=SOURCE")
    parser.add_argument("--prepared", metavar="DIR", help="a folder that --prepare made")
    parser.add_argument("--commit", help="of this code, where it is no git checkout")
    parser.add_argument("--stage", help=argparse.SUPPRESS)  # one, in this process
    parser.add_argument("--notes", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.prepare:
        from benchmarks.accelerator import prepare

        try:
            prepare.pack(pathlib.Path(given.prepare), given.images)
        except InputError as e:
            print(f"error: {e}", file=sys.stderr)
            return 2
        return 0
    prepared = pathlib.Path(given.prepared).resolve() if given.prepared else None
    if given.stage:
        with tempfile.TemporaryDirectory() as scratch:
            notes = pathlib.Path(given.notes)
            out = pathlib.Path(given.out)
            job = stages.Job(given.rehearse, pathlib.Path(scratch), prepared, notes, out)
            return 0 if stages.run(given.stage, job) else 1
    names = given.stages.split(",") if given.stages else _usual()
    if unknown := set(names) - set(stages.STAGES):
        parser.error(f"unknown stages {', '.join(unknown)}; known: {', '.join(stages.STAGES)}")
    end, out = time.monotonic() + 60 * given.minutes, pathlib.Path(given.out).resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        parser.error(f"--out={out}: {e.strerror}; name a folder that can be written")
    if not given.rehearse:
        found, reason = running.device(prepared)
        if reason:
            parser.error(f"JAX does not start here: {reason}")
        if found == "cpu":
            parser.error("JAX finds no accelerator here, only the CPU; --rehearse tries the stages")
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m benchmarks.accelerator " + " ".join(arguments or sys.argv[1:]),
        "driver": _driver(),
        "commit": given.commit or running.commit(prepared),
    }
    with tempfile.TemporaryDirectory() as scratch, _ended_by_sigterm():
        notes = pathlib.Path(scratch) / "notes.jsonl"
        job = stages.Job(given.rehearse, notes.parent, prepared, notes, out)
        return run(names, job, about, end)


def _usual() -> list[str]:
    return [name for name, stage in stages.STAGES.items() if stage.usual]


def run(names: list[str], job: stages.Job, about: dict[str, str], end: float) -> int:
    """All stages until `end`, with the tables after each group; 1 if any failed."""
    groups = stages.grouped(names)
    for i, group in enumerate(groups):
        try:
            _together(group, groups[i + 1 :], job, end - time.monotonic())
        finally:
            page = report.write(job.out, report.collect(job.notes), about)
    print(page.read_text())
    noted = report.collect(job.notes).get("stages", {})
    return int(any(values.get("failed") for values in noted.values()))


def _together(group: list[str], later: list[list[str]], job: stages.Job, left: float) -> None:
    """Runs a group of stages in the seconds that are left for it and the later ones."""
    if left < _SMALLEST:
        for name in group:
            job.note("stages", name, failed="no time was left")
        return
    slower = 4.0 if job.rehearse else 1.0  # on whatever machine
    running.together(stages.limits(group, later, left, slower), job)


@contextlib.contextmanager
def _ended_by_sigterm():
    """SIGTERM ends what is inside as an exception does, so that the stages are ended too."""

    def leave(number, frame):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _driver() -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""


if __name__ == "__main__":
    raise SystemExit(main())
