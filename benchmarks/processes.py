"""The same run on other numbers of processes and devices, and resumed on others than it began on.

    python -m benchmarks.processes [--layouts=1x1,1x8,2x2,4x1] [--steps=12]

Real processes over loopback, each with its own CPU devices, in float64 (float32 training is chaotic
in its last digits). Prints two Markdown tables: how far losses, gradient norms and AUROCs are from
those of one process with one device; and the same for runs that got SIGTERM in the middle on one
layout and went on on another. P x D: P processes with D devices each.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

LAYOUTS = flags.DEFINE_list("layouts", ["1x1", "1x8", "2x1", "2x2", "4x1", "4x2"], "P x D.")
RESUMED = flags.DEFINE_list("resumed", ["1x1", "1x8", "2x2", "4x1"], "P x D, all pairs of them.")
STEPS = flags.DEFINE_integer("steps", 12, "Optimiser steps.")
ROOT = pathlib.Path(__file__).parents[1]
SMALL = (
    "--config=configs/digits_adapt.py", "--config.model.width=4",
    "--config.model.blocks=(1,1,1,1)", "--config.model.embedding_dim=16",
    "--config.model.dtype=float64", "--config.batch_size=64", "--config.log_every=1",
    "--config.checkpoint_every=1000", "--config.report=False",
)  # fmt: skip


def start(layout: str, workdir: pathlib.Path) -> list[subprocess.Popen]:
    processes, devices = map(int, layout.split("x"))
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    command = [sys.executable, "-m", "adapt_jax.train", *SMALL, f"--workdir={workdir}"]
    command.append(f"--config.total_steps={STEPS.value}")
    if processes > 1:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        command += [f"--coordinator={address}", f"--num_processes={processes}"]
    numbered = [f"--process_id={i}" for i in range(processes)] if processes > 1 else [""]
    return [
        subprocess.Popen(
            [*command, *filter(None, [number])],
            cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for number in numbered
    ]  # fmt: skip


def finish(started: list[subprocess.Popen], code: int) -> None:
    for process in started:
        _, errors = process.communicate()
        if process.returncode != code:
            raise SystemExit(f"exit code {process.returncode}, not {code}: {errors}")


def steps_of(workdir: pathlib.Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def differences(workdir: pathlib.Path, reference: pathlib.Path) -> str:
    """Largest relative difference of losses and gradient norms, largest of AUROCs: table cells."""
    ours, theirs = steps_of(workdir), steps_of(reference)
    assert [r["step"] for r in ours] == [r["step"] for r in theirs]
    cells = []
    for name in ("loss", "gradient_norm"):
        a, b = (np.array([r[name] for r in run]) for run in (ours, theirs))
        cells.append(f"{np.max(np.abs(a / b - 1)):.0e}")
    rows = [json.loads((w / "results.json").read_text())["rows"] for w in (workdir, reference)]
    auroc = max(abs(a["auroc"] - b["auroc"]) for a, b in zip(*rows, strict=True))
    return " | ".join([*cells, f"{auroc:.0e}"])


def interrupted(layout: str, workdir: pathlib.Path) -> int:
    """Runs until the middle, sends SIGTERM to the last process; the step it was saved at."""
    started = start(layout, workdir)
    while len(steps_of(workdir)) < STEPS.value // 2:
        if started[0].poll() is not None:
            finish(started, 143)
        time.sleep(0.02)
    started[-1].send_signal(signal.SIGTERM)
    finish(started, 128 + signal.SIGTERM)
    return steps_of(workdir)[-1]["step"]


def main(_):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        finish(start("1x1", folder / "one"), 0)
        print("| P x D | loss | gradient norm | AUROC |\n| --- | ---: | ---: | ---: |")
        for layout in LAYOUTS.value:
            finish(start(layout, folder / layout), 0)
            print(f"| {layout} | {differences(folder / layout, folder / 'one')} |", flush=True)
        print("\n| begun | resumed | at step | loss | gradient norm | AUROC |")
        print("| --- | --- | ---: | ---: | ---: | ---: |")
        for begun in RESUMED.value:
            for resumed in RESUMED.value:
                workdir = folder / f"{begun}-{resumed}"
                step = interrupted(begun, workdir)
                finish(start(resumed, workdir), 0)
                cells = differences(workdir, folder / "one")
                print(f"| {begun} | {resumed} | {step} | {cells} |", flush=True)


if __name__ == "__main__":
    app.run(main)
