"""`python -m adapt_jax.data`: fetched once, remembered, verified; by hand where a host is gone."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import __main__, suites
from adapt_jax.data import __main__ as command
from adapt_jax.data.download import catalogue, store
from adapt_jax.data.download.catalogue import Archive


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def png(level):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


LISTS = zipped(
    {"lists/near.txt": "tiny/a.png -1\ntiny/b/c.png -1\n", "lists/far.txt": "tiny/a.png -1"}
)
IMAGES = zipped({"a.png": png(1), "b/c.png": png(2)})
MATRIX = b"the file itself"


@pytest.fixture
def world(server, tmp_path, monkeypatch):
    """A server with three archives, a suite made of them, and an empty data root."""
    server.files = {"/lists.zip": LISTS, "/tiny.zip": IMAGES, "/m/test.mat": MATRIX}
    lists = Archive("lists", "lists.zip", "lists", f"{server.base}/lists.zip", "lists", "free")
    tiny = Archive("tiny", "tiny.zip", "images/tiny", f"{server.base}/tiny.zip", "images", "free")
    digest = hashlib.sha256(MATRIX).hexdigest()
    url = f"{server.base}/gone/test.mat"
    matrix = Archive("matrix", "test.mat", "classic", url, "m", "free", len(MATRIX), digest, "page")
    own = Archive("own", "own.zip", "images/own", "", "yours", "yours", by_hand="needs your copy")
    known = {archive.name: archive for archive in (lists, tiny, matrix, own)}

    def source(name):
        return f"list:{{root}}/lists/{name}.txt?root={{root}}/images"

    sets = (
        suites.OodSet("near", "n", source("near"), 2),
        suites.OodSet("far", "f", source("far"), 1),
    )
    id_test = suites.Expected(source("far"), 1)
    for module in (catalogue, __main__):
        monkeypatch.setattr(module, "ARCHIVES", known)
        monkeypatch.setattr(module, "NEEDS", {"mini": ("lists", "tiny")})
    monkeypatch.setattr(suites, "SUITES", {"mini": suites.Suite("mini", sets, id_test=id_test)})
    monkeypatch.setenv("ADAPT_JAX_DATA", "unset by --root")
    root = tmp_path / "data"

    def run(*arguments):
        return command.main([*arguments, f"--root={root}"])

    return run, root


def test_a_suite_from_nothing_to_verified(world, server, capsys):
    run, root = world
    assert run("verify", "mini") == 2
    assert "download lists" in capsys.readouterr().out
    assert run("download", "mini", "--list-urls") == 0
    assert f"{server.base}/tiny.zip -> {root}/archives/tiny.zip" in capsys.readouterr().out
    assert not root.exists()
    assert run("download", "mini") == 0
    assert sorted(p.name for p in root.iterdir()) == [
        "archives",
        "archives.json",
        "images",
        "lists",
    ]
    assert [p.name for p in (root / "archives").iterdir()] == [".lock"]
    assert (root / "lists" / "near.txt").is_file()  # its own top folder was left out
    record = json.loads((root / "archives.json").read_text())
    assert record["tiny"] == {
        "file": "tiny.zip",
        "sha256": hashlib.sha256(IMAGES).hexdigest(),
        "bytes": len(IMAGES),
        "files": 2,
    }
    capsys.readouterr()
    assert run("verify", "mini") == 0
    names = {"id": ["tiny/a.png"], "n": ["tiny/a.png", "tiny/b/c.png"], "f": ["tiny/a.png"]}
    out = capsys.readouterr().out
    assert suites.names_sha256(names) in out
    assert "WRONG" not in out
    asked = len(server.seen)
    assert run("download", "mini") == 0
    assert len(server.seen) == asked
    assert run("list") == run("list", "mini", "tiny") == 0
    assert "2 of 2 archives here" in capsys.readouterr().out


def test_what_is_missing_is_named(world, capsys):
    run, root = world
    run("download", "mini")
    (root / "images" / "tiny" / "b" / "c.png").unlink()
    (root / "lists" / "far.txt").write_text("tiny/a.png -1\ntiny/a.png -1\n")
    capsys.readouterr()
    assert run("verify", "mini") == 2
    out, err = capsys.readouterr()
    assert "1 files of 2" in out
    assert "there is no file" in out
    assert "set f has 2 images, the protocol has 1" in out
    assert err.startswith("error: 4 of 5 checks failed")


def test_a_changed_archive_is_refused_unless_wanted(world, server, capsys):
    run, root = world
    run("download", "tiny", "--keep")
    assert (root / "archives" / "tiny.zip").read_bytes() == IMAGES
    (root / "archives" / "tiny.zip").unlink()
    for path in (root / "images" / "tiny").rglob("*.png"):
        path.unlink()
    (root / "images" / "tiny" / "b").rmdir()
    server.files["/tiny.zip"] = zipped({"a.png": png(3)})
    assert run("download", "tiny") == 2
    assert hashlib.sha256(IMAGES).hexdigest() in capsys.readouterr().err
    digest = hashlib.sha256(server.files["/tiny.zip"]).hexdigest()
    assert run("download", "tiny", f"--sha256=tiny={digest}") == 0
    assert store.record(root)["tiny"]["sha256"] == digest


def test_mirror_comes_first_and_a_gone_host_is_explained(world, server, capsys):
    run, root = world
    assert run("download", "matrix") == 2
    err = capsys.readouterr().err
    assert f"by hand (page), put it at {root}/archives/test.mat and run the same" in err
    server.seen.clear()
    assert run("download", "matrix", f"--mirror={server.base}/m/") == 0
    assert [path for path, *_ in server.seen] == ["/m/test.mat"]
    assert (root / "classic" / "test.mat").read_bytes() == MATRIX
    assert run("verify", "matrix") == 0
    (root / "classic" / "test.mat").write_bytes(MATRIX + b"!")
    assert run("verify", "matrix") == 2
    assert "has changed" in capsys.readouterr().out


def test_by_hand(world, server, capsys):
    run, root = world
    assert run("download", "own", "mini") == 2  # the others are fetched all the same
    assert "own: needs your copy" in capsys.readouterr().err
    assert store.present(catalogue.ARCHIVES["tiny"], root)
    (root / "archives" / "test.mat").write_bytes(b"another")
    assert run("download", "matrix") == 2
    assert "--sha256=matrix=" in capsys.readouterr().err
    (root / "archives" / "test.mat").write_bytes(MATRIX)
    server.seen.clear()
    assert run("download", "matrix") == 0
    assert not server.seen
    (root / "images" / "own" / "x").mkdir(parents=True)
    assert run("download", "own") == run("verify", "own") == 0


def test_a_user_s_own_layout_is_left_alone(world, server):
    run, root = world
    (root / "images" / "tiny").mkdir(parents=True)
    (root / "images" / "tiny" / "mine.png").write_bytes(png(7))
    assert run("download", "tiny") == 0
    assert not server.seen
    assert run("verify", "tiny") == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["download", "min"], "did you mean 'mini'"),
        (["verify", "nothing-like-it"], "see `list`"),
        (["download", "tiny", "--sha256=lists=" + "0" * 64], "NAME one of tiny"),
        (["download", "tiny", "--sha256=tiny=12"], "64 digits"),
    ],
)
def test_mistakes(world, capsys, arguments, word):
    run, _ = world
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert word in err
    assert err.startswith("error: ")


def test_a_broken_record_and_a_folder_that_cannot_be(world, capsys):
    run, root = world
    run("download", "lists")
    for text in ("[]", "{", '{"tiny": 3}'):
        (root / "archives.json").write_text(text)
        assert run("download", "tiny") == 2
        assert "repair or delete it" in capsys.readouterr().err
    (root / "archives.json").unlink()
    assert run("download", "tiny") == 0
    (root / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        store.obtain(catalogue.ARCHIVES["tiny"], root / "file")


def test_two_downloads_at_once(world, capsys):
    run, root = world
    with store._alone(root):
        assert run("download", "tiny") == 2
    assert "another download is running" in capsys.readouterr().err
    assert run("download", "tiny") == 0
