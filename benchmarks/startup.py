"""From the command to the first step, without and with compiled programs in the cache.

    python benchmarks/startup.py [--config=configs/digits_adapt.py] [--repeats=3] [--config.key=...]

Every repetition is a cold start, with an empty cache of programs, and a warm one after it; each a
process of its own that trains one step and evaluates nothing. Decoded images are kept throughout.
What is timed is from starting Python to the record of step 1 in metrics.jsonl. The CPU seconds are
those of the whole process, its threads together: they hardly depend on what else the machine does.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import jax

ROOT = pathlib.Path(__file__).parents[1]


def start(config, workdir, environment, overrides):
    """Seconds to the first step, what the run said of compiling, and CPU seconds in all."""
    command = [
        *(sys.executable, "-m", "adapt_jax.train", f"--config={config}", f"--workdir={workdir}"),
        *("--config.total_steps=1", "--config.log_every=1", "--config.ood=", *overrides),
    ]
    began, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    first = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[0])
    compiling = done.stdout.partition("compiled in ")[2].split()[0]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return first["time"] - began, float(compiling), used


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/digits_adapt.py")
    parser.add_argument("--repeats", type=int, default=3)
    args, overrides = parser.parse_known_args()
    found = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        environment = os.environ | {"ADAPT_JAX_CACHE": str(folder / "cache")}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        start(args.config, folder / "images", environment, overrides)  # decodes, warms the disk
        for i in range(args.repeats):
            shutil.rmtree(folder / "cache" / "xla")
            for name, seconds in found.items():
                workdir = folder / f"{name}{i}"
                seconds.append(start(args.config, workdir, environment, overrides))
        size = sum(p.stat().st_size for p in (folder / "cache" / "xla").rglob("*") if p.is_file())
    device = jax.devices()[0].device_kind
    print(f"{args.config} {' '.join(overrides)}, {device}, jax {jax.__version__}")
    print(f"{args.repeats} repetitions; the cache then holds {size / 1e6:.1f} MB")
    print(
        "| | s to the first step, median | min | max | of which compiling it, median "
        "| CPU seconds of the process, median |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, runs in found.items():
        whole, compiling, used = zip(*runs)
        print(
            f"| {name} | {statistics.median(whole):.1f} | {min(whole):.1f} | {max(whole):.1f} "
            f"| {statistics.median(compiling):.1f} | {statistics.median(used):.1f} |"
        )


if __name__ == "__main__":
    main()
