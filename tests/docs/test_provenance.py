"""Every recording has a provenance."""

import pathlib
import re

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def test_the_provenance_page_names_every_recording_and_no_other():
    page = (GOLDEN / "README.md").read_text()
    named = set(re.findall(r"`([\w.]+\.(?:npz|json|safetensors|pth))`", page))
    assert named == {file.name for file in GOLDEN.iterdir()} - {"README.md"}


def test_every_program_of_the_provenance_page_has_a_whole_commit():
    table = (GOLDEN / "README.md").read_text().split("## Programs")[1].split("\n\n")[1]
    rows = table.strip().splitlines()[2:]
    assert len(rows) >= 8
    for row in rows:
        assert re.search(r"`[0-9a-f]{40}`", row), row


def test_links_of_the_provenance_page_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (GOLDEN / "README.md").read_text()):
        assert (GOLDEN / target).exists(), target
