"""What the pages list is what there is: methods, detectors, config fields, error messages."""

import ast
import pathlib
import re

import pytest

from adapt_jax import detectors, methods, metrics, zero_shot_detectors
from adapt_jax.config import default_config
from adapt_jax.config.diff import flatten
from adapt_jax.training import schedules

ROOT = pathlib.Path(__file__).parents[2]
UNSAID = {"num_classes", "feature_dim", "num_images"}  # come from data and network


def page(name):
    return (ROOT / "docs" / name).read_text()


def row_of(text, name):
    return next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))


@pytest.mark.parametrize("name", methods.names())
def test_methods_have_a_section_with_every_hyper_parameter(name):
    text = page("methods.md")
    assert f"[`{name}`](#" in text
    known = set(methods.parameters(name)) - UNSAID
    text += page("ccl.md") if name == "ccl" else ""
    assert not {p for p in known if f"`{p}" not in text}


@pytest.mark.parametrize("name", detectors.names())
def test_detectors_have_a_row_with_every_default(name):
    row = row_of(page("detectors.md"), name)
    if name == "iodin":  # "the same"
        row += row_of(page("detectors.md"), "odin")
    defaults = detectors.REGISTRY.defaults(name)
    for key, value in defaults.items():
        shown = re.search(rf"`{key}=([^`]+)`", row)
        assert shown, f"{name}: {key} is missing"
        same = shown[1] == str(value)
        assert same or float(shown[1]) == float(value), f"{name}: {key} is {value}"
    assert set(re.findall(r"`(\w+)=", row)) <= set(detectors.REGISTRY.parameters(name))


@pytest.mark.parametrize(
    ("folder", "reference"),
    [
        (methods, "methods"),
        (detectors, "detectors"),
        (zero_shot_detectors, "zero_shot"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_the_reference_has_every_module(folder, reference):
    listed = re.findall(r"automodule:: (\S+)\n   :members: (.*)", page(f"api/{reference}.rst"))
    listed = {(module, name) for module, names in listed for name in names.split(", ")}
    assert {(make.__module__, make.__name__) for make in folder.FACTORIES.values()} <= listed


def test_zero_shot_detectors_and_schedules_are_listed():
    for name in zero_shot_detectors.names():
        assert row_of(page("detectors.md"), name)
    for name in schedules.FACTORIES:
        assert row_of(page("train.md"), name)


def test_every_metric_is_defined():
    for name, _ in metrics.COLUMNS:
        assert f"`{name}`" in page("metrics.md")


def test_every_config_field_is_described():
    text = page("train.md")
    fields = {k for k in flatten(default_config().to_dict()) if not k.startswith("method.params.")}
    assert not {field for field in fields if f"`{field}`" not in text}
    named = re.findall(r"`((?:model|optimizer|augment|method)\.\w+)`", text)
    assert set(named) <= fields | {"method.params"}


def sentences():
    """Every string of the program with the holes of its f-strings, and the Makefile."""
    for file in ROOT.glob("adapt_jax/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    getattr(part, "value", "\0") if isinstance(part, ast.Constant) else "\0"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
    yield (ROOT / "Makefile").read_text()


def test_messages_are_those_of_the_program():
    known = list(sentences())
    ours = re.split(r"^## ", page("troubleshooting.md"), flags=re.MULTILINE)
    quoted = 0
    for section in ours:
        if section.startswith(("Devices", "Installing")):  # of JAX, pip and the system
            continue
        for line in section.splitlines():
            cell = re.match(r"\| (`.*?`) \| ", line)
            for message in re.findall(r"`([^`]+)`", cell[1]) if cell else ():
                parts = message.split("...")
                pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
                could_be = (s for s in known if all(part in s for part in parts))  # far quicker
                assert any(map(pattern.search, could_be)), f"no such message: {message}"
                quoted += 1
    assert quoted > 45
