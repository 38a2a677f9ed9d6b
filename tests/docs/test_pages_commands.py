"""The commands of the first pages, typed as they stand there; their config is a smaller one."""

import json
import re
import shlex
import shutil

import pytest
from PIL import Image

from adapt_jax.data import sources
from tests import commands
from tests.e2e import small


def lines_of(page):
    """Every line of the page that runs this project's Python, continued lines joined."""
    text = re.sub(r" *\\\n\s*", " ", (small.ROOT / page).read_text())
    return re.findall(r"^    (python (?:-m adapt_jax|exports).*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the pages' paths are there."""
    root = tmp_path_factory.mktemp("reader")
    (root / "configs").mkdir()
    (root / "configs/digits_adapt.py").write_text(small.FILE)
    for name in ("cat.jpg", "photos/1.jpg", "signs/1.jpg", "signs/2.jpg", "signs/3.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        image = sources.load("photos:colour", 32).images[len(list(root.rglob("*.jpg")))]
        Image.fromarray(image).save(root / name)
    return root


def run(folder, line):
    """What it prints."""
    python, *words = shlex.split(line, comments=True)
    assert python == "python"
    done = commands.run(*words[words[0] == "-m" :], cwd=folder)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_getting_started_then_export(folder):
    train, evaluate, predict = lines_of("docs/start.md")
    assert "report.html" in run(folder, train)
    assert "knn?k=10" in run(folder, evaluate)
    assert run(folder, predict).count('"score"') == 2
    shutil.copytree(folder / "runs/first", folder / "runs/mine")
    export, score, again, anew = lines_of("docs/export.md")[:4]
    assert "scorer.stablehlo" in run(folder, export)
    assert '"threshold"' in run(folder, score)
    assert run(folder, again).count('"score"') == 2
    assert "signs" in run(folder, anew)
    assert (folder / "runs/again/results.json").exists()


def test_what_the_readme_does_with_a_run(folder):
    lines = [line for line in lines_of("README.md") if "runs/mine" in line]
    (merge,) = [line for line in lines if "adapt_jax.results" in line]
    (doctor,) = [line for line in lines if "adapt_jax.doctor" in line]
    shutil.copytree(folder / "runs/mine", folder / "runs/other")
    path = folder / "runs/other/results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 1}))
    assert "tabular" in run(folder, merge)
    assert "OK" in run(folder, doctor)
