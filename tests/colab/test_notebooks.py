"""The notebooks run, define nothing, and are committed with outputs that can be read.

Executed in a kernel of this environment, with the numbers of their first cell lowered, a smaller
network and fewer images. The kernel, and Python where a cell starts it, are forked from one process
that has imported what takes seconds.
"""

import ast
import contextlib
import io
import pathlib
import re
import shutil
import sys

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from adapt_jax.runtime import terminal
from colab.execute import execute
from tests import commands
from tests.e2e import small

FOLDER = pathlib.Path(__file__).parents[2] / "colab"
NAMES = ("quickstart", "zero_shot")
LARGEST = 400_000  # bytes
MACHINE = re.compile(r"(?<![\w.])/(home|root|tmp|usr|opt|var|work|mnt|content|Users|private)/")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook):
    """Everything a reader sees in words."""
    outputs = [out for cell in code(notebook) for out in cell.outputs]
    return "\n".join(
        out.text if out.output_type == "stream" else str(out.data.get("text/markdown", ""))
        for out in outputs
    )


def pictures(notebook):
    return sum("image/png" in out.get("data", {}) for c in code(notebook) for out in c.outputs)


SMALLER_ZERO_SHOT = """
from adapt_jax.runtime.config_files import load_config
def get_config(model):
    config = load_config({path!r} + ":" + model)
    config.test_data += "&limit=120"
    config.ood = "near/digits6-9=digits:test?classes=6-9&limit=60,far/flower=photos:colour?limit=60"
    config.report = False
    return config
"""
SHALLOWER = """
import dataclasses, functools
__path__ = [{path!r}]
from examples.tiny_clip import digits_clip
whole = digits_clip.ARCHITECTURE
vision, text = (dataclasses.replace(tower, layers=1) for tower in (whole.vision, whole.text))
digits_clip.ARCHITECTURE = dataclasses.replace(whole, vision=vision, text=text)
digits_clip.Settings = functools.partial(digits_clip.Settings, batch_size=24, pictures=4)
"""


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The notebooks, in a folder like the repository whose configs and networks are smaller."""
    root = FOLDER.parent
    shutil.copytree(FOLDER, tmp_path / "colab")
    (tmp_path / "configs").mkdir()
    (tmp_path / "digits_adapt").write_text(small.FILE)  # by name; by path on one and eight devices
    (tmp_path / "configs" / "digits_adapt.py").write_text(small.FILE)
    text = SMALLER_ZERO_SHOT.format(path=str(root / "configs" / "digits_zero_shot.py"))
    (tmp_path / "digits_zero_shot").write_text(text)
    (tmp_path / "examples").mkdir()
    text = SHALLOWER.format(path=str(root / "examples"))
    (tmp_path / "examples" / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(root))
    (tmp_path / "bin").mkdir()
    with commands.interpreter(tmp_path / "bin") as python:
        monkeypatch.setattr(sys, "executable", str(python))  # kernels are started with it
        yield tmp_path / "colab"


def test_quickstart_runs(reader, tmp_path):
    made = execute(reader / "quickstart.ipynb", {"EPOCHS": 2, "WORKDIR": str(tmp_path / "run")})
    assert pictures(made) == pictures(read("quickstart")) == 3
    assert (tmp_path / "run" / "report.html").exists()
    losses = re.findall(r"step \d: ([\d.]+) on one device, ([\d.]+) on eight", printed(made))
    assert len(losses) == 3
    for one, eight in losses:
        assert float(one) == pytest.approx(float(eight), rel=1e-12)


def test_zero_shot_runs(reader, tmp_path):
    folders = {"MODEL": str(tmp_path / "clip"), "WORKDIR": str(tmp_path / "run")}
    made = execute(reader / "zero_shot.ipynb", {"STEPS": 4, **folders})
    assert pictures(made) == pictures(read("zero_shot")) == 5
    assert "three.png" in printed(made)
    assert "adaneg" in printed(made)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_define_nothing(name):
    for cell in code(read(name)):
        tree = ast.parse(TransformerManager().transform_cell(cell.source))
        assert not [node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)], cell.source


@pytest.mark.parametrize("name", NAMES)
def test_they_can_be_read_without_running(name):
    cells = code(read(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell.outputs or "parameters" in cell.metadata.get("tags", ()), cell.source


@pytest.mark.parametrize("name", NAMES)
def test_what_they_show_is_clean(name):
    notebook = read(name)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST
    streams = [o.name for c in code(notebook) for o in c.outputs if o.output_type == "stream"]
    assert set(streams) == {"stdout"}
    words = printed(notebook)
    assert not re.search("warning|traceback|error:", words, re.IGNORECASE)
    assert not MACHINE.search(words)
    assert "\x1b" not in words  # colours of a terminal
    assert set(notebook.metadata) == {"kernelspec", "language_info", "colab"}


def test_the_console_is_plain_where_colour_is_asked_for_but_no_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = io.StringIO()
    with contextlib.redirect_stdout(text), terminal.doing(terminal.console()) as report_progress:
        report_progress("1 of 2")
    assert text.getvalue().endswith("s  1 of 2\n")
    assert "\x1b" not in text.getvalue()
