"""Imports point one way: a room of the package imports only rooms that stand below it."""

import ast
import functools
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "adapt_jax"
# From the top down; rooms of one line do not import each other. docs/architecture.md shows them.
ORDER = [
    ["commands"],
    ["adapt_jax"],
    ["compare", "reproduce"],
    ["train"],
    ["evaluate", "zero_shot", "doctor", "export", "predict"],
    ["inference", "report"],
    ["experiment", "results", "workdir"],
    ["config", "training", "profiling"],
    ["data", "models", "methods", "detectors", "zero_shot_detectors", "clip", "text_bank",
     "metrics", "runtime"],
    ["core"],
]  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
HEAVY = {"tensorflow", "torch"}
MODULES = {
    p.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): p
    for p in sorted(PACKAGE.rglob("*.py"))
}


@functools.cache
def nodes(path):
    """The syntax tree of a module, flat."""
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imports(path):
    """Full names of what a module imports."""
    names = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def module_of(name):
    """The module an imported name belongs to, or None outside the package."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def room(module):
    """The folder or file below the package's root that a module belongs to."""
    parts = module.split(".")
    return "commands" if parts[-1] == "__main__" else parts[min(1, len(parts) - 1)]


def test_the_config_stops_at_the_factories():
    taking = [
        f"{name}.{node.name}"
        for name, path in MODULES.items()
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef)
        and "config" in [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
    ]
    assert len(taking) <= 35, taking


def test_arrows_point_one_way():
    wrong = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        for name in imports(path)
        if (target := module_of(name)) and not allowed(room(module), room(target))
    ]
    assert not wrong, "\n".join(wrong)


def allowed(here, there):
    return there == here or LEVEL[here] < LEVEL[there]


def test_there_is_no_circle():
    targets = {m: {module_of(n) for n in imports(p)} - {None, m} for m, p in MODULES.items()}

    @functools.cache
    def reached(module):
        below = targets[module]
        return frozenset(below.union(*(reached(t) for t in below)))

    for module in MODULES:
        assert module not in reached(module)  # RecursionError is a circle, too


def test_every_room_has_its_place():
    assert {room(m) for m in MODULES} == set(LEVEL)
    assert len(ORDER) <= 10
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_the_page_shows_the_same_order():
    page = (ROOT / "docs/architecture.md").read_text()
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    lines = [line.split("#")[0].split() for line in shown.splitlines()]
    assert [sorted(line) for line in lines if line] == [sorted(rooms) for rooms in ORDER]


def test_no_other_framework_is_imported():
    roots = {m: {name.split(".")[0] for name in imports(p)} for m, p in MODULES.items()}
    assert not {m: HEAVY & names for m, names in roots.items() if HEAVY & names}


def test_files_stay_small():
    long = {m: n for m, p in MODULES.items() if (n := len(p.read_text().splitlines())) > 320}
    assert not long
