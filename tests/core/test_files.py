"""Files that are whole, synced and checked; names that stay inside their folder."""

import contextlib
import json
import os

import pytest

from adapt_jax.core import files, replacing
from adapt_jax.core.errors import InputError


def test_a_file_is_synced_before_it_takes_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(files.os, "fsync", lambda handle: done.append("sync"))
    rename = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *a: (done.append("rename"), rename(*a)))
    files.write_atomically(tmp_path / "x", b"new")
    assert done == ["sync", "rename", "sync"]  # the file, and then the folder
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    files.write_atomically(tmp_path / "x", b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(tmp_path / "x", b"new")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"x": b"old"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[1]", "holds a list where an object"),
        (b"null", "holds null where an object"),
        (b"{}", "has no field 'a'"),
        (b'{"a": "1"}', "field 'a' is a text"),
        (b'{"a": true}', "field 'a' is true or false"),
        (b'{"a": [1]}', "field 'a' is a list"),
    ],
)
def test_json_of_another_shape_is_refused_in_a_sentence(tmp_path, content, words):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        files.read_json(path, {"a": (int, float)}, "write it again")
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("write it again")
    assert "\n" not in str(caught.value)


def test_json_as_expected_is_read(tmp_path):
    (tmp_path / "x").write_text(json.dumps({"a": 1.5, "more": None}))
    assert files.read_json(tmp_path / "x", {"a": float}, "")["a"] == 1.5
    with pytest.raises(InputError, match="does not exist; write it"):
        files.read_json(tmp_path / "y", {}, "write it")


def test_names_of_folders_stay_inside_and_apart(tmp_path):
    plain = ["knn?k=5&normalize=True", "vim", "a.b", "mahalanobis?covariance=within"]
    hostile = ["../x", "/x", "..", ".", "", "a/b", "a\\b", "a\0b", "a%2Fb", "~", "knn?k=5#/../../X",
               "a\nb", "é", "e\u0301", "\udce9", "x" * 500, "x" * 501, "C:x"]  # fmt: skip
    assert [files.folder_name(text) for text in plain] == plain
    names = [files.folder_name(text) for text in plain + hostile]
    assert len(set(names)) == len(names)
    for name in names:
        path = tmp_path / name
        path.mkdir()
        assert path.resolve().parent == tmp_path.resolve()


def entries(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_entries_are_replaced_together_or_not_at_all(tmp_path):
    names = ("scores", "results", "report")
    with replacing.entries(tmp_path, names) as new:
        (new / "scores").mkdir()
        (new / "scores" / "old").write_text("1")
        (new / "results").write_text("1")
        (new / "report").write_text("1")
    before = entries(tmp_path)
    assert before == {"scores/old": "1", "results": "1", "report": "1"}
    with contextlib.suppress(OSError), replacing.entries(tmp_path, names) as new:
        (new / "results").write_text("2")
        raise OSError("the disk is full")
    assert entries(tmp_path) == before

    (tmp_path / "other").write_text("stays")
    with replacing.entries(tmp_path, names) as new:
        (new / "scores").mkdir()
        (new / "scores" / "new").write_text("2")
        (new / "results").write_text("2")
    assert entries(tmp_path) == {"scores/new": "2", "results": "2", "other": "stays"}


def test_a_kill_while_entries_take_their_places_is_completed(tmp_path, monkeypatch):
    """Between any two renames: what is complete is used, nothing is mixed."""
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("old")
    monkeypatch.setattr(replacing, "finish", lambda folder: None)  # killed before
    with replacing.entries(tmp_path, ("a", "b")) as new:
        (new / "a").write_text("new")
        (new / "b").write_text("new")
    monkeypatch.undo()
    (tmp_path / ".complete.tmp" / "a").replace(tmp_path / "a")  # killed after the first
    replacing.finish(tmp_path)
    assert entries(tmp_path) == {"a": "new", "b": "new"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_is_replaced_whole_and_leftovers_are_tidied_up(tmp_path):
    target = tmp_path / "out"
    (tmp_path / ".out.new.tmp").mkdir()  # of a killed program
    (tmp_path / ".out.former.tmp").mkdir()
    (tmp_path / ".out.former.tmp" / "x").write_text("old")  # killed between two renames
    with contextlib.suppress(RuntimeError), replacing.whole_folder(target) as new:
        (new / "x").write_text("half")
        raise RuntimeError
    assert entries(tmp_path) == {"out/x": "old"}
    with replacing.whole_folder(target) as new:
        (new / "y").write_text("new")
    assert entries(tmp_path) == {"out/y": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_unfinished_files_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".config.json.abc.tmp").write_text("")
    (tmp_path / ".scores.new.tmp").mkdir()
    (tmp_path / "mine.tmp").write_text("")
    files.remove_unfinished(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.tmp"]
