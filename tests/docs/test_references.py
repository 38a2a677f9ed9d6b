"""Every method and detector has a row of references, and both pages of commits agree."""

import pathlib
import re
import sys

import pytest

import adapt_jax
from adapt_jax import detectors, methods, zero_shot_detectors

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/references.md").read_text()
NAMES = (*methods.names(), *detectors.names(), *zero_shot_detectors.names())
WITHOUT_A_PAPER_LINK = {"adapt", "palm_ssd", "nearest_mean"}  # ADAPT's is not public
WITHOUT_CODE = {"ccl", "nearest_mean"}


def row_of(name):
    (row,) = (row for row in PAGE.splitlines() if re.match(rf"\|[^|]*`{name}`[^|]*\|", row))
    return row


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_row_with_a_paper(name):
    assert ("](https://" in row_of(name).split("|")[2]) == (name not in WITHOUT_A_PAPER_LINK)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_and_rows_link_to_paper_and_code(name):
    folder = next(f for f in (methods, detectors, zero_shot_detectors) if name in f.names())
    factory = folder.FACTORIES[name]
    docs = (sys.modules[factory.__module__].__doc__ or "") + (factory.__doc__ or "")
    page = "methods.md" if folder is methods else "detectors.md"
    row = re.search(rf"^\| \[?`{name}`.*", (ROOT / "docs" / page).read_text(), re.MULTILINE)[0]
    if name not in WITHOUT_A_PAPER_LINK:
        paper = re.search(r"\]\((https://[^)]+)\)", row_of(name))[1]
        assert paper in docs
        assert f"]({paper})" in row
    if name not in WITHOUT_CODE:
        assert "https://github.com/" in docs
        assert "](https://github.com/" in row


def test_commits_are_those_of_the_recordings():
    recorded = (ROOT / "tests/golden/README.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+/[\w.-]+) \| `([0-9a-f]{7})` \|", PAGE, re.MULTILINE)
    whole = dict(
        re.findall(r"^\| \[([\w.-]+/[\w.-]+)\]\S* ?[^|]*\| `([0-9a-f]{40})`", recorded, re.M)
    )
    assert whole.keys() <= dict(rows).keys()
    for repository, commit in rows:
        if repository in whole:
            assert whole[repository].startswith(commit), repository


def test_citation_and_changelog_name_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {adapt_jax.__version__}\n" in citation
    assert f"\n## [{adapt_jax.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
