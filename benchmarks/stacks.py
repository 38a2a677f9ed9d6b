"""Does it run with the versions that people have? The demo and some tests in environments of those.

    python -m benchmarks.stacks [--stacks=oldest,colab,gpu,newest] [--python=PROGRAM] [--keep=DIR]

Makes an environment for every stack with uv, which has to be installed (`pip install uv`). uv finds
Python 3.11, 3.12 and 3.13 on PATH, as python3.11 and so on, or brings them; `--python` is used for
all stacks instead. The table says what was installed, the demo's AUROC after a few epochs, how the
tests PARTS ended, and the CPU time of demo and tests. What failed is printed below it, and the exit
code is then 1.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
EPOCHS = 3  # of the demo's 40
SHOWN = ("jax", "flax", "orbax-checkpoint", "optax", "numpy", "scikit-learn")
PARTS = (
    *("tests/core", "tests/metrics", "tests/methods", "tests/detectors", "tests/models"),
    *("tests/clip", "tests/zero_shot_detectors"),
    "tests/e2e/test_train.py::test_the_work_directory_holds_what_is_promised",
    "tests/e2e/test_train.py::test_kill_and_resume_is_bit_identical",
)


class Stack(NamedTuple):
    """A version of Python, and what `uv pip install` gets besides this project's dependencies."""

    python: str
    packages: Sequence[str] = ()
    options: Sequence[str] = ()


COLAB = {
    "jax": "0.7.2",
    "jaxlib": "0.7.2",
    "flax": "0.11.2",
    "orbax-checkpoint": "0.12.4",
    "numpy": "2.1.3",
}  # as of August 2026
STACKS: Mapping[str, Stack] = {
    "oldest": Stack("3.11", options=["--resolution=lowest-direct"]),
    "colab": Stack("3.13", [f"{name}=={version}" for name, version in COLAB.items()]),
    "gpu": Stack("3.12", ["jax==0.11.2"]),  # a GPU machine's, which has no TensorFlow and no TFDS
    "newest": Stack("3.13"),
}


class Result(NamedTuple):
    """What became of one stack."""

    versions: Mapping[str, str]
    auroc: float | None
    counts: Mapping[str, int]
    failed: Sequence[str]
    seconds: float


def main() -> int:
    """Prints the table; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", default=",".join(STACKS))
    parser.add_argument("--python", help="interpreter of all stacks, a path or a version")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the environments")
    args = parser.parse_args()
    failed = []
    print(f"| stack | Python | {' | '.join(SHOWN)} | demo, AUROC near | tests | CPU seconds |")
    print("| --- " * (len(SHOWN) + 4) + "| ---: |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.stacks.split(","):
            stack = STACKS[name]
            if args.python:
                stack = stack._replace(python=args.python)
            found = examine(stack, (args.keep or pathlib.Path(temporary)).absolute() / name)
            print(row(name, found), flush=True)
            failed += [f"{name}: {what}" for what in found.failed]
    print("".join(f"\n{what}" for what in failed))
    return bool(failed)


def examine(stack: Stack, folder: pathlib.Path) -> Result:
    """Makes the environment in the folder and runs the demo and the tests in it.

    Raises:
      SystemExit: the environment cannot be made; the installer's words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python = environment(stack, folder / "env")
    env = os.environ | {"ADAPT_JAX_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    demo = run(
        *(python, "-m", "adapt_jax.train", "--config=configs/digits_adapt.py"),
        *(f"--workdir={folder / 'demo'}", f"--config.epochs={EPOCHS}"),
        env=env,
    )
    report = folder / "tests.xml"
    report.unlink(missing_ok=True)
    tests = run(
        *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"),
        *("--override-ini=filterwarnings=default", *PARTS),  # older packages have warnings
        env=env,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts, failed = tested(report) if report.exists() else ({}, [tests.stdout[-2000:]])
    if demo.returncode:
        failed = [f"the demo: {demo.stderr[-2000:]}", *failed]
    return Result(
        versions=json.loads(run(python, "-c", VERSIONS, check=True).stdout),
        auroc=None if demo.returncode else auroc(folder / "demo"),
        counts=counts,
        failed=failed,
        seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


VERSIONS = f"""
import importlib.metadata, json, platform
found = {{name: importlib.metadata.version(name) for name in {SHOWN}}}
print(json.dumps({{"Python": platform.python_version(), **found}}))
"""


def environment(stack: Stack, folder: pathlib.Path) -> pathlib.Path:
    """An environment with this project's dependencies and what the tests need; its interpreter."""
    shutil.rmtree(folder, ignore_errors=True)
    uv = [shutil.which("uv")] if shutil.which("uv") else [sys.executable, "-m", "uv"]
    python = folder / "bin" / "python"
    own = ["--requirements=pyproject.toml", "--extra=tokenizers", "pytest>=8"]
    for command in (
        ["venv", f"--python={stack.python}", str(folder)],
        ["pip", "install", f"--python={python}", *stack.options, *own, *stack.packages],
    ):
        if (done := run(*uv, *command)).returncode:
            raise SystemExit(done.stderr)
    return python


def run(*command: str, env: Mapping[str, str] | None = None, check: bool = False):
    """Runs it in the project's root; what it wrote is kept."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, env=env, check=check, capture_output=True, text=True)


def tested(report: pathlib.Path) -> tuple[dict[str, int], list[str]]:
    """How many tests of a JUnit report passed, failed, were skipped, and which ones failed."""
    suite = xml.parse(report).getroot().find("testsuite")
    broken = int(suite.get("failures")) + int(suite.get("errors"))
    skipped = int(suite.get("skipped"))
    counts = {"passed": int(suite.get("tests")) - broken - skipped, "failed": broken}
    failed = [
        f"{case.get('classname')}::{case.get('name')}: {what.get('message', '')[:300]}"
        for case in suite.iter("testcase")
        for what in (*case.iter("failure"), *case.iter("error"))
    ]
    return {**counts, "skipped": skipped}, failed


def auroc(workdir: pathlib.Path) -> float:
    """AUROC of the first near row of a run, Mahalanobis's, in percent."""
    rows = json.loads((workdir / "results.json").read_text())["rows"]
    return 100 * next(r["auroc"] for r in rows if r["group"] == "near")


def row(name: str, found: Result) -> str:
    """One line of the table."""
    versions = [found.versions[key] for key in ("Python", *SHOWN)]
    counts = ", ".join(f"{count} {what}" for what, count in found.counts.items() if count)
    demo = "failed" if found.auroc is None else f"{found.auroc:.2f}"
    cells = [name, *versions, demo, counts or "not run", f"{found.seconds:.0f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
