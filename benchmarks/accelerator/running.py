"""Runs stages at the same time, each in a process of its own until its limit."""

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.accelerator import report, stages

ROOT = pathlib.Path(__file__).parents[2]
COMMIT = "commit"  # file in the first part of a prepared folder


def environment(prepared: pathlib.Path | None) -> dict[str, str]:
    """Of a process that has this code and the packages of the prepared folder."""
    sites = [str(path) for path in (ROOT, *(prepared.glob("*/site") if prepared else ()))]
    path = os.pathsep.join([*sites, os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path}


def device(prepared: pathlib.Path | None) -> tuple[str, str]:
    """What JAX runs on in a process of its own, "gpu" or "cpu"; "" and the reason if it cannot."""
    command = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    try:
        given = environment(prepared)
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "", "it did not answer within a minute"
    said = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    return ("", said[-1] if said else "no reason") if done.returncode else (said[-1], "")


def commit(prepared: pathlib.Path | None) -> str:
    """The git commit of this code: of the checkout, else of the one that prepared the folder."""
    from adapt_jax.runtime import provenance  # imports JAX

    if found := provenance.commit():
        return found
    paths = prepared.glob(f"part*/{COMMIT}") if prepared else ()
    found = " ".join(path.read_text().strip() for path in paths)
    return f"{found}, says the prepared folder" if found else "unknown"


def together(limits: Mapping[str, float], job: stages.Job) -> None:
    """Runs stages, given with their seconds; notes why one ended before it could say so itself.

    Whatever ends this function, no stage lives on.
    """
    given = environment(job.prepared)
    # Several stages, or PyTorch beside one, share the device's memory.
    given.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.6")
    if len(limits) > 1:
        given.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    command = [sys.executable, "-m", "benchmarks.accelerator", f"--notes={job.notes}"]
    command += [f"--out={job.out}", *["--rehearse"] * job.rehearse]
    command += [f"--prepared={job.prepared}"] if job.prepared else []
    began = time.monotonic()
    running: dict[str, subprocess.Popen] = {}
    try:
        for name in limits:
            flags = f"{given.get('XLA_FLAGS', '')} {stages.STAGES[name].flags}".strip()
            with _errors(job, name).open("wb") as errors:
                running[name] = subprocess.Popen(
                    [*command, f"--stage={name}"],
                    env=given | {"XLA_FLAGS": flags},
                    cwd=ROOT,
                    stderr=errors,
                    start_new_session=True,
                )
        for name, process in running.items():
            try:
                code = process.wait(max(began + limits[name] - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _kill(process)
                job.note("stages", name, failed="its time was over")
            else:
                _account(job, name, code)
    finally:
        for name, process in running.items():
            if process.poll() is None:
                _kill(process)
            sys.stderr.write(_errors(job, name).read_text(errors="replace"))


def _errors(job: stages.Job, name: str) -> pathlib.Path:
    return job.notes.parent / f"{name}.stderr"


def _account(job: stages.Job, name: str, code: int) -> None:
    """Notes that a stage failed, unless it has done so itself."""
    noted = report.collect(job.notes).get("stages", {}).get(name, {})
    if code and not noted.get("failed"):
        said = _errors(job, name).read_text(errors="replace").strip().splitlines()
        last = f": {said[-1][-300:]}" if said else ""
        job.note("stages", name, failed=f"the process ended with {code}{last}")


def _kill(process: subprocess.Popen) -> None:
    """The stage and what it has started, which is in its session."""
    os.killpg(process.pid, 9)
    process.wait()
