"""Adapters of official programs by method: `open_program("adapt", repo)`."""

import importlib

from benchmarks.parity.programs.base import Program

MODULES = {
    "adapt": "adapt",
    "palm": "palm",
    "cider": "cider",
    "supcon": "cider",
    "supcontrast": "supcontrast",
    "reweightood": "reweightood",
}


def open_program(method: str, repo: str) -> Program:
    """Imports the official program of `method` from a checkout."""
    module = importlib.import_module(f"benchmarks.parity.programs.{MODULES[method]}")
    return module.open_checkout(repo, method)
