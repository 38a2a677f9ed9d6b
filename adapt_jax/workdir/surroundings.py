"""Records what decides a run's numbers besides config and data, and reports changes.

One config and one seed give other float32 numbers with another generator, precision, version of
JAX, or number of devices and cores, because sums are then taken in another order.
"""

import json
import os
import pathlib
from typing import Any

import jax

from adapt_jax.core import generator
from adapt_jax.core.files import write_atomically
from adapt_jax.runtime import processes, provenance

FILE = "surroundings.json"
"""A list: what was found when the run began, and at each resumption that found something else."""


def current() -> dict[str, Any]:
    """What this process finds."""
    versions = provenance.versions()
    kept: dict[str, Any] = {name: versions[name] for name in ("jax", "jaxlib", "device")}
    if jax.default_backend() == "cpu":
        kept["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return kept | {"processes": jax.process_count()} | generator.settings()


def remember(workdir: pathlib.Path, step: int) -> str:
    """Records what this process finds, and says what is not as it was; "" where all is.

    Args:
      workdir: folder of the run.
      step: step at which training begins or continues.
    """
    path, new = pathlib.Path(workdir) / FILE, current()
    records = _read(path) if step else []
    last = {k: v for k, v in records[-1].items() if k != "step"} if records else new
    if records and last == new:
        return ""
    if processes.is_main():
        content = json.dumps([*records, {"step": step} | new], indent=1) + "\n"
        write_atomically(path, content.encode())
    changed = [
        f"{name} {last.get(name)} -> {new.get(name)}"
        for name in sorted(last.keys() | new.keys())
        if last.get(name) != new.get(name)
    ]
    if not changed:
        return ""
    return (
        f"not as before ({', '.join(changed)}): from here on the numbers are not those of a run "
        "that never stopped"
    )


def _read(path: pathlib.Path) -> list[dict[str, Any]]:
    """The record so far; [] where there is none, or none that can be read."""
    try:
        records = json.loads(path.read_text())
    except (OSError, ValueError):  # it decides nothing
        return []
    whole = isinstance(records, list) and all(isinstance(entry, dict) for entry in records)
    return records if whole else []
