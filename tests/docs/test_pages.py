"""The Python examples in the documentation run, and what they assert holds."""

import doctest
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adapt_jax
from adapt_jax import methods
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs
from adapt_jax.runtime import cli, config_files, sharding
from tests.e2e import small
from tests.e2e.conftest import one_program  # noqa: F401  a fixture

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [
    p for p in sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"]) if "```python" in p.read_text()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reader")


@pytest.fixture
def reader(folder, monkeypatch):
    """A reader of all pages in a folder of their own, whose configs are small, and all SupCon's."""
    monkeypatch.chdir(folder)
    load = config_files.load_config
    tiny = [f"{key}={value}" for key, value in small.SMALL.items() if key != "model.blocks"]

    def shrunk(name):
        found = cli.override(load(name), [*tiny, "model.blocks=(1,0,0,0)"])
        # Another config stays another run.
        another = {"temperature": 0.2} if found.method.name != "adapt" else {}
        found.method = {"name": "supcon", "params": methods.defaults("supcon") | another}
        return found

    monkeypatch.setattr(adapt_jax, "load_config", shrunk, raising=False)
    monkeypatch.setattr(config_files, "load_config", shrunk)
    every = sharding.make_mesh
    one = lambda devices=None: every(devices or jax.devices()[:1])  # noqa: E731
    monkeypatch.setattr(sharding, "make_mesh", one)


@pytest.mark.usefixtures("one_program")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_examples_run(page, reader):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize(
    "page", [p for p in ROOT.glob("docs/*.md") if "```pycon" in p.read_text()], ids=lambda p: p.name
)
def test_prompts_print_what_they_say(page):
    text = "\n".join(re.findall(r"```pycon\n(.*?)```", page.read_text(), re.DOTALL))
    example = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("page", ["add_a_method.md", "add_a_detector.md"])
def test_what_to_add_is_thirty_lines(page):
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)[1]
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 30


def test_the_example_method_learns():
    page = (ROOT / "docs/add_a_method.md").read_text()
    names = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    method = names["make"](num_classes=3, feature_dim=4)
    state = method.init(jax.random.key(0))
    labels = jnp.arange(9) % 3
    embeddings = jnp.eye(4)[labels][None]
    losses, loss_of = [], jax.jit(method.loss)
    for _ in range(20):
        loss, (state, _) = loss_of(embeddings, labels, state)
        losses.append(float(loss))
    assert losses[-1] < 0.01 < losses[0]


def test_the_example_detector_gives_any_split_the_same_bits():
    page = (ROOT / "docs/add_a_detector.md").read_text()
    names = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    rows = np.random.default_rng(0).normal(size=(600, 9)).astype(np.float32)
    detector = names["make"](dim=3)
    state = detector.fit(Outputs(rows))
    whole = detector.score(state, Outputs(rows))
    parts = [detector.score(state, Outputs(rows[i : i + 7])) for i in range(0, 70, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[:70])
    with pytest.raises(InputError, match=r"subspace.fit: dim=3 exceeds"):
        detector.fit(Outputs(rows[:, :2]))


def test_links_between_pages_lead_somewhere():
    for page in [*ROOT.glob("docs/*.md"), ROOT / "README.md"]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name} links to {target}"
            if anchor and file.suffix == ".md":
                assert anchor in headings(file), f"{page.name} links to {file.name}#{anchor}"


def headings(page):
    """The anchors of a page's headings, as the repository's page and the site make them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}
