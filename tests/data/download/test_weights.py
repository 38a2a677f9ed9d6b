"""Weights by name: fetched, verified, converted, from a server that stands in for the real ones.

golden/resnet_tiny.pth is what torch.save of PyTorch 2.13 wrote of a tiny network with torchvision's
names; its weights are random.
"""

import hashlib
import io
import pathlib
import re
import zipfile

import jax
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError
from adapt_jax.data import __main__ as command
from adapt_jax.data.download import weights
from adapt_jax.data.download.catalogue import Archive
from adapt_jax.data.download.weights import HUB, WEIGHTS, Weights
from adapt_jax.experiment import pretrained
from tests.commands import ROOT
from tests.e2e import small

FILE = pathlib.Path(__file__).parents[2] / "golden" / "resnet_tiny.pth"
FITTING = {"model__width": 4, "model__blocks": (1, 1, 1, 1)}
FITS = "model.name=resnet18 model.stem=cifar"


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.fixture
def known(server, tmp_path, monkeypatch):
    """A server with the network alone and in an archive; a changed file; one that nobody serves."""
    content = FILE.read_bytes()
    digits = hashlib.sha256(content).hexdigest()[:8]
    server.files = {
        f"/tiny-{digits}.pth": content,
        "/changed.pth": content[:-1],
        "/runs.zip": zipped(exp__s0__best=content, exp__s1__best=b""),
    }

    def archive(name, filename, path, sha256=None, folder="weights"):
        url = path and f"{server.base}/{path}"
        return Archive(name, filename, folder, url, "", "", None, sha256, "see the page a.org")

    tiny = f"tiny-{digits}.pth"
    entries = (
        Weights(archive("tiny", tiny, tiny, digits), FITS),
        Weights(archive("changed", "changed.pth", "changed.pth", digits), FITS),
        Weights(
            archive("runs", "runs.zip", "runs.zip", folder="weights/runs"), FITS, "exp/s0/best"
        ),
        Weights(archive("own", "own.pth", ""), FITS),
    )
    monkeypatch.setattr(weights, "WEIGHTS", {w.archive.name: w for w in entries})
    monkeypatch.setenv("ADAPT_JAX_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "weights"


def test_a_name_is_fetched_once_verified_and_converted(known, server):
    config = small.config(**FITTING, model__pretrained="tiny", model__allow_pickle=False)
    said = []
    pretrained.fetch("tiny", said.append)
    assert said[0].startswith("fetching tiny from 127.0.0.1")
    pretrained.check(config)  # every tensor is there and fits
    pretrained.fetch("tiny", said.append)
    assert len(said) == len(server.seen) == 1
    read = pretrained._read(config.model)
    assert read["bn1.num_batches_tracked"] == 3
    assert read["conv1.weight"].dtype == np.float32
    config.model.width = 8
    with pytest.raises(InputError, match=r"bn1.bias is \(4,\).*; tiny is for model.name=resnet18"):
        pretrained.check(config)


@pytest.mark.parametrize(("classes", "kept"), [(6, ()), (4, ("fc",))])
def test_own_classes_start_a_classifier_of_their_own(known, classes, kept):
    read = models.read_weights(str(FILE), allow_pickle=True)
    made = models.make("resnet18", width=4, blocks=(1, 1, 1, 1), head="linear", num_classes=classes)
    ours = jax.eval_shape(made.init, jax.random.key(0))
    given = pretrained._own_classifier("tiny", read, ours)
    assert models.pretrained(given, ours).kept == kept
    assert pretrained._own_classifier("tiny.pth", read, ours) is read  # a file is refused instead


def test_one_run_of_an_archive_of_several(known):
    assert weights.obtain("runs").relative_to(known) == pathlib.Path("runs/exp/s0/best")
    (known / "runs/exp/s0/best").unlink()
    with pytest.raises(InputError, match="has 0 files exp/s0/best, expected one"):
        weights.obtain("runs")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("changed", "its sha256 is [0-9a-f]{64} instead of .*get it by hand .see the page a.org"),
        ("own", "own: see the page a.org, and save it as .*/data/weights/own.pth"),
        ("tinyy", "no weights are called 'tinyy' .did you mean 'tiny'.*data list weights"),
    ],
)
def test_what_cannot_be_had_names_the_page_and_the_place(known, name, message):
    with pytest.raises(InputError, match=message):
        weights.obtain(name)
    assert not known.exists() or not any(known.iterdir())


def test_a_file_put_there_by_hand_is_taken(known):
    known.mkdir(parents=True)
    (known / "own.pth").write_bytes(FILE.read_bytes())
    pretrained.check(small.config(**FITTING, model__pretrained="own"))


def test_files_are_no_names():
    assert weights.is_name("torchvision_resnet50")
    for path in ("w.npz", "runs/w", "./w", "~/w.pth", ""):
        assert not weights.is_name(path)


def test_the_catalogue(capsys):
    """Names carry the digits; the command and the page show what there is."""
    for name, entry in WEIGHTS.items():
        archive = entry.archive
        assert weights.is_name(name)
        if name.startswith("torchvision"):
            assert re.fullmatch(rf"\w+-{archive.sha256}\.pth", archive.filename)
            assert archive.url.endswith(f"/{archive.filename}")
    assert command.main(["list", "weights"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in [*WEIGHTS, *(model.name for model in HUB)])
    page = (ROOT / "docs" / "checkpoints.md").read_text()
    rows = [_row(name, entry) for name, entry in WEIGHTS.items()]
    rows += [f"| `{model.name}` | {model.what} | {model.licence} |" for model in HUB]
    assert [row for row in rows if row not in page] == []


def _row(name, entry):
    """What docs/checkpoints.md has of a network."""
    archive = entry.archive
    size = f" {entry.mebibytes:.1f} MiB" if entry.mebibytes else ""
    digits = f" `{archive.sha256}`" if archive.sha256 else ""
    how = "fetched" if archive.url else "by hand"
    return f"| `{name}` | {archive.what} | {archive.licence} |{size} |{digits} | {how} |"
