"""Imports point one way: jobs -> parts of a run -> methods | detectors | models | data -> core."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "adapt_jax"
FOLDERS = ("methods", "detectors", "models", "data", "clip", "zero_shot_detectors", "text_bank")
HEAVY = {"tensorflow", "torch"}


def imports(path):
    """Full names of what a module imports from the package, and top-level names of the rest."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(name):
    """core, one of the folders, or "" for the jobs and their parts."""
    second = name.split(".")[1] if name.count(".") else ""
    return second if second in (*FOLDERS, "core") else ""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_arrows_point_one_way(path):
    here = path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    for name in imports(path):
        if not name.startswith("adapt_jax"):
            continue
        there = layer(name)
        if layer(here) == "core":
            assert there == "core", f"{here} imports {name}"
        elif layer(here) in FOLDERS:
            assert there in (layer(here), "core"), f"{here} imports {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_no_other_framework_is_imported(path):
    assert not HEAVY & {name.split(".")[0] for name in imports(path)}


def test_files_stay_small():
    long = {
        p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 320
    }
    assert not long
