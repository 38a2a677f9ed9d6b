"""Folders and image lists: order, labels, and what is said when something is wrong."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import load


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ADAPT_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))


def save(path, level, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


@pytest.fixture
def classes(tmp_path):
    root = tmp_path / "set"
    save(root / "bee" / "2.png", 20)
    save(root / "bee" / "10.PNG", 10)
    save(root / "ant" / "x" / "deep.bmp", 1)
    save(root / "ant" / "a b.png", 2)
    save(root / ".hidden" / "no.png", 99)
    save(root / "__MACOSX" / "no.png", 99)
    (root / "bee" / "notes.txt").write_text("no image")
    (root / "bee" / "._2.png").write_bytes(b"\0\5\26\7")
    return root


def test_folder_of_classes(classes):
    data = load(f"folder:{classes}", 8, labeled=True)
    assert data.class_names == ("ant", "bee")
    assert data.names == ("ant/a b.png", "ant/x/deep.bmp", "bee/10.PNG", "bee/2.png")
    assert data.images[:, 0, 0, 0].tolist() == [2, 1, 10, 20]
    assert data.labels.tolist() == [0, 0, 1, 1]
    only = load(f"folder:{classes}?classes=1&limit=1", 8)
    assert (only.names, only.class_names, only.labels.tolist()) == (("bee/10.PNG",), ("bee",), [0])


def test_flat_folder(tmp_path):
    for level in (3, 1, 2):
        save(tmp_path / f"{level}.png", level)
    data = load(f"folder:{tmp_path}", 8)
    assert data.names == ("1.png", "2.png", "3.png")
    assert data.labels is None
    assert data.class_names == ()
    for options, labeled in (("", True), ("?classes=0", False)):
        with pytest.raises(InputError, match=r"labels are needed.*1\.png.*sub-folder"):
            load(f"folder:{tmp_path}{options}", 8, labeled=labeled)


def test_images_beside_class_folders(classes):
    save(classes / "stray.png", 7)
    with pytest.raises(InputError, match=r"beside its sub-folders.*stray\.png"):
        load(f"folder:{classes}", 8, labeled=True)
    data = load(f"folder:{classes}", 8)
    assert len(data.names) == 5
    assert data.labels is None


def test_empty_class_is_named(classes):
    (classes / "cow").mkdir()
    with pytest.raises(InputError, match="class 2 .cow."):
        load(f"folder:{classes}", 8, labeled=True)
    assert len(load(f"folder:{classes}", 8).names) == 4


@pytest.mark.parametrize("names", [("0", "2", "10"), ("000", "002", "010"), ("c0", "c2", "c10")])
def test_folders_with_numbers_come_in_their_order(tmp_path, names):
    for i, name in enumerate(names):
        save(tmp_path / name / "a.png", i)
    data = load(f"folder:{tmp_path}", 8, labeled=True)
    assert data.class_names == names
    assert data.images[:, 0, 0, 0].tolist() == data.labels.tolist() == [0, 1, 2]
    as_text = load(f"folder:{tmp_path}", 8, class_order=sorted(names))
    assert as_text.class_names == tuple(sorted(names))
    assert as_text.names == tuple(f"{name}/a.png" for name in sorted(names))
    assert as_text.labels.tolist() == [0, 1, 2]
    other = load(f"folder:{tmp_path}", 8, class_order=["x", "y", "z"])
    assert other.class_names == names


def test_numbers_choose_classes_that_are_called_by_them(tmp_path):
    for name in ("3", "12", "20"):
        save(tmp_path / name / "a.png", int(name))
    (tmp_path / "list.txt").write_text("3/a.png 3\n20/a.png 20\n12/a.png 12\n")
    for source in (f"folder:{tmp_path}", f"list:{tmp_path}/list.txt"):
        data = load(f"{source}?classes=0-12", 8)
        assert data.class_names == ("3", "12")
        assert data.images[data.labels == 1][:, 0, 0, 0].tolist() == [12]
        with pytest.raises(InputError, match="no image of class 0"):
            load(f"{source}?classes=0-12", 8, labeled=True)
        assert load(f"{source}?classes=12+20", 8, labeled=True).labels.tolist() in ([0, 1], [1, 0])
        with pytest.raises(InputError, match="no image of the classes it asks for"):
            load(f"{source}?classes=0-2", 8)


@pytest.mark.parametrize("names", [("train",), ("Train", "val"), ("train", "test", "docs")])
def test_splits_are_no_classes(tmp_path, names):
    for name in names:
        save(tmp_path / name / "cat" / "a.png", 1)
    assert "splits" in load(f"folder:{tmp_path}", 8).flaw
    with pytest.raises(InputError, match=f"splits of a data set.*folder:{tmp_path}/{names[0]}"):
        load(f"folder:{tmp_path}", 8, labeled=True)
    assert load(f"folder:{tmp_path}/{names[0]}", 8, labeled=True).class_names == ("cat",)


def test_two_folders_of_one_number(tmp_path):
    for name in ("1", "01", "2"):
        save(tmp_path / name / "a.png", 1)
    with pytest.raises(InputError, match="'01' and '1', which are one number"):
        load(f"folder:{tmp_path}", 8, labeled=True)


def test_folder_without_images(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("")
    with pytest.raises(InputError, match=r"no image in .*\.png"):
        load(f"folder:{tmp_path}", 8)


def test_links_are_followed_but_not_in_circles(classes, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "wasp").symlink_to(classes / "bee")
    (classes / "bee" / "loop").symlink_to(tmp_path / "linked")
    assert load(f"folder:{tmp_path / 'linked'}", 8).names == ("wasp/10.PNG", "wasp/2.png")


def test_list(classes, tmp_path):
    (tmp_path / "lists").mkdir()
    lines = "bee/2.png 0\r\n\nant/a b.png 1\n../set/bee/10.PNG\t1\n" + f"{classes}/bee/2.png 0\n"
    (tmp_path / "lists" / "train.txt").write_text(lines)
    data = load(f"list:{tmp_path}/lists/train.txt?root={classes}", 8, labeled=True)
    assert data.images[:, 0, 0, 0].tolist() == [20, 2, 10, 20]
    assert data.labels.tolist() == [0, 1, 1, 0]
    assert data.names[1] == "ant/a b.png"
    assert data.class_names == ("0", "1")


def test_list_paths_start_at_the_list_by_default(classes):
    (classes / "ood.txt").write_text("bee/2.png -1\nant/a b.png -1\n")
    data = load(f"list:{classes}/ood.txt", 8)
    assert data.labels is None
    assert len(data.names) == 2
    with pytest.raises(InputError, match="negative label -1"):
        load(f"list:{classes}/ood.txt", 8, labeled=True)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ("bee/2.png 0\nbee/none.png 1\n", r"line 2: there is no file .*none\.png"),
        ("bee/2.png 0\nbee/2.png\n", "line 2: expected `path label`"),
        ("bee/2.png 0\n\nbee/2.png one\n", "line 3: expected `path label`"),
        ("bee/2.png 1.5\n", "line 1: expected"),
        ("bee/2.png 99999999999\n", "line 1: expected"),
        ("7\n", "line 1: expected"),
        ("", "no image in it"),
        ("bee/2.png 1\nbee/2.png 2\n", "no image of class 0"),
        ("bee/2.png 0\nbee/2.png 3\n", "no image of class 1, "),
    ],
)
def test_lists_that_are_wrong(classes, lines, word):
    (classes / "bad.txt").write_text(lines)
    with pytest.raises(InputError, match=word):
        load(f"list:{classes}/bad.txt", 8, labeled=True)


def test_names_that_are_not_utf_8(classes, tmp_path):
    odd = os.fsencode(classes / "bee") + b"/caf\xe9.png"
    shutil.copy(os.fsencode(classes / "bee" / "2.png"), odd)
    (classes / "odd.txt").write_bytes(b"bee/caf\xe9.png 0\nbee/2.png 0\n")
    for source in (f"list:{classes}/odd.txt", f"folder:{classes}"):
        found = load(source, 8, labeled=True, cache_dir=tmp_path)
        assert b"bee/caf\xe9.png" in map(os.fsencode, found.names)
        again = load(source, 8, cache_dir=tmp_path)
        np.testing.assert_array_equal(found.images, again.images)
        lazy = load(source, 8, labeled=True, at_most=0)
        np.testing.assert_array_equal(lazy.images[:], found.images)


def test_list_that_is_no_text(classes):
    (classes / "bad.txt").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match="line 1: expected"):
        load(f"list:{classes}/bad.txt", 8)
    (classes / "good.txt").write_text("bee/2.png 0\n")
    with pytest.raises(InputError, match="is not a folder"):
        load(f"list:{classes}/good.txt?root={classes}/none", 8)


def test_cache_is_used_and_notices_changes(classes):
    source, calls = f"folder:{classes}", []

    def progress(done, total):
        calls.append((done, total))

    first = load(source, 8, progress=progress)
    assert calls == [(4, 4)]
    again = load(source, 8, progress=progress)
    assert calls == [(4, 4)]
    assert again.content_sha256 == first.content_sha256
    np.testing.assert_array_equal(again.images, first.images)
    load(source, 4, progress=progress)
    assert len(calls) == 2
    save(classes / "bee" / "2.png", 200)
    assert load(source, 8, progress=progress).images[3].max() == 200
    assert len(calls) == 3


def test_many_images_keep_their_order(tmp_path):
    for level in range(0, 200):
        save(tmp_path / f"{level:03}.bmp", level)
    data = load(f"folder:{tmp_path}", 8)
    assert data.images[:, 0, 0, 0].tolist() == list(range(200))
