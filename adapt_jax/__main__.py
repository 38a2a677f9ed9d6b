"""The command `adapt_jax`: `adapt_jax train ...` is `python -m adapt_jax.train ...`."""

import ast
import importlib.util
import os
import pathlib
import runpy
import sys

import adapt_jax
from adapt_jax.runtime import boundary

JOBS = (
    "train", "evaluate", "predict", "compare", "reproduce", "zero_shot", "export", "doctor",
    "results", "data", "profiling",
)  # fmt: skip


def main() -> None:
    """Runs the job that the first argument names; exits with 2 where there is none."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        with boundary.explained():
            print(overview(), flush=True)
    elif name == "--version":
        print(f"adapt_jax {adapt_jax.__version__}")
    elif name in JOBS:
        sys.path.insert(0, os.getcwd())  # as `python -m` does: networks of the user's may lie there
        sys.argv = [f"adapt_jax {name}", *rest]
        runpy.run_module(f"adapt_jax.{name}", run_name="__main__", alter_sys=True)
    else:
        print(f"error: there is no {name!r}; there are: {', '.join(JOBS)}", file=sys.stderr)
        raise SystemExit(2)


def overview() -> str:
    """Every job with what it does, without importing any."""
    lines = [
        f"{adapt_jax.__doc__.splitlines()[0]}\n",
        "adapt_jax JOB [--help] ...",
        "adapt_jax --version\n",
    ]
    return "\n".join(lines + [f"  {name:<10} {_what(name)}" for name in JOBS])


def _what(name: str) -> str:
    path = pathlib.Path(importlib.util.find_spec(f"adapt_jax.{name}").origin)
    main_file = path.with_name("__main__.py") if path.name == "__init__.py" else path
    return ast.get_docstring(ast.parse(main_file.read_text())).splitlines()[0]


if __name__ == "__main__":
    main()
