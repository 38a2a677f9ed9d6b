"""Archives that want out of their folder, are broken, or are interrupted."""

import io
import stat
import tarfile
import zipfile

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data.download import unpack
from adapt_jax.data.download import unpack as module
from adapt_jax.data.download.unpack import extract


def make_zip(path, entries, compression=zipfile.ZIP_DEFLATED):
    """entries: name -> bytes, or (bytes, Unix mode)."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            if isinstance(content, tuple):
                content, mode = content
                info.external_attr = mode << 16
            file.writestr(info, content)
    return path


def make_tar(path, entries, mode="w:gz"):
    """entries: name -> bytes, or a dict of TarInfo's fields."""
    with tarfile.open(path, mode) as file:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for field, value in content.items():
                    setattr(info, field, value)
                file.addfile(info)
            else:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_files_and_folders(tmp_path, kind):
    entries = {"b/x.png": b"1", "./b/c/y.png": b"22", "z.txt": b"", "__MACOSX/b/x.png": b"no"}
    entries["b/._x.png"] = b"no"
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        make_zip(archive, {"b/": (b"", 0o755 | stat.S_IFDIR), **entries})
    else:
        folder = {"type": tarfile.DIRTYPE, "mode": 0o000}
        make_tar(archive, {"b": folder, **entries}, "w" if kind == "tar" else "w:gz")
    assert extract(archive, tmp_path / "out" / "a") == 3
    assert tree(tmp_path / "out" / "a") == {"b/x.png": b"1", "b/c/y.png": b"22", "z.txt": b""}
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]


def test_a_top_folder_of_the_same_name_is_left_out(tmp_path):
    content = {"mnist/test/1.png": b"1", "mnist/2.png": b"2", "__MACOSX/x": b""}
    archive = make_zip(tmp_path / "mnist.zip", content)
    (tmp_path / "images" / "mnist").mkdir(parents=True)  # empty: as good as none
    extract(archive, tmp_path / "images" / "mnist")
    assert tree(tmp_path / "images" / "mnist") == {"test/1.png": b"1", "2.png": b"2"}
    extract(archive, tmp_path / "images" / "other")
    assert set(tree(tmp_path / "images" / "other")) == {"mnist/test/1.png", "mnist/2.png"}


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/tmp/x.png", "..", "C:/x.png", "a\\..\\x.png", ""]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_leave(tmp_path, kind, name):
    entries = {"good.png": b"1", name: b"evil"}
    archive = tmp_path / f"a.{kind}"
    make_zip(archive, entries) if kind == "zip" else make_tar(archive, entries, "w")
    check_refused(archive, tmp_path, "leaves its folder")


@pytest.mark.parametrize("field", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
def test_tar_links_and_devices(tmp_path, field):
    odd = {"type": getattr(tarfile, field), "linkname": "../outside"}
    archive = make_tar(tmp_path / "a.tar", {"good.png": b"1", "odd": odd, "odd/x": b"2"}, "w")
    check_refused(archive, tmp_path, "link or device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_zip_links_and_devices(tmp_path, kind):
    archive = make_zip(tmp_path / "a.zip", {"good.png": b"1", "odd": (b"../outside", kind | 0o777)})
    check_refused(archive, tmp_path, "link or device")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(unpack, "ALLOWANCE", 100_000)
    archive, zeros = tmp_path / f"a.{kind}", {"good.png": b"1", "zeros": bytes(10_000_000)}
    make_zip(archive, zeros) if kind == "zip" else make_tar(archive, zeros)
    check_refused(archive, tmp_path, "unpack to more than")
    assert extract(archive, tmp_path / "fine", limit=10_000_000 + unpack.SMALLEST) == 2


def test_a_tar_of_empty_files_or_of_endless_names_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "ALLOWANCE", 100_000)
    monkeypatch.setattr(unpack, "EXPANSION", 1)
    for kind in ({}, {"type": tarfile.DIRTYPE}):
        archive = make_tar(tmp_path / "a.tar.gz", {f"x{i}": kind for i in range(1000)})
        check_refused(archive, tmp_path, "unpack to more than")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as file:
        file.addfile(tarfile.TarInfo("x" * (unpack.LONGEST_HEADER + 1)))
    check_refused(tmp_path / "b.tar.gz", tmp_path, "has a header of")
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as file:
        file.addfile(tarfile.TarInfo("x" * (unpack.LONGEST_HEADER + 1)))
    check_refused(tmp_path / "c.tar.gz", tmp_path, "has a header of")


def test_lying_zip(tmp_path):
    """The directory says 3 bytes where there are more: no byte beyond them is written."""
    archive = make_zip(tmp_path / "a.zip", {"x": b"abcdef" * 1000}, zipfile.ZIP_STORED)
    data, size = bytearray(archive.read_bytes()), (6000).to_bytes(4, "little")
    at = data.rindex(b"PK\1\2") + 24
    assert data[at : at + 4] == size
    data[at : at + 4] = (3).to_bytes(4, "little")
    archive.write_bytes(data)
    check_refused(archive, tmp_path, "damaged")


def test_damaged_archives(tmp_path):
    whole = make_tar(tmp_path / "w.tar.gz", {f"{i}.png": bytes([i]) * 5000 for i in range(200)})
    zipped = make_zip(tmp_path / "w.zip", {"x": b"abcdef" * 1000}, zipfile.ZIP_STORED)
    flipped = bytearray(zipped.read_bytes())
    flipped[200] ^= 1
    cases = {
        "cut.tar.gz": whole.read_bytes()[:-300],
        "cut.zip": zipped.read_bytes()[:-30],
        "flipped.zip": bytes(flipped),
        "page.zip": b"<html>",
        "page.tar": b"<html>",
        "empty.tgz": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        check_refused(tmp_path / name, tmp_path, "damaged|cannot unpack")
    check_refused(make_zip(tmp_path / "none.zip", {}), tmp_path, "no file in it")
    (tmp_path / "x.rar").write_bytes(b"")
    check_refused(tmp_path / "x.rar", tmp_path, "no archive")


def test_encrypted(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x": b"abc"}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + at] |= 1
    archive.write_bytes(data)
    check_refused(archive, tmp_path, "password")


def test_the_same_file_twice_and_a_full_folder(tmp_path):
    make_zip(tmp_path / "a.zip", {"x": b"1", "./x": b"2"})
    check_refused(tmp_path / "a.zip", tmp_path, "exists")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        extract(make_zip(tmp_path / "b.zip", {"x": b"1"}), tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_killed_extraction_leaves_nothing_half_done(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", {"1": b"1", "2": b"2"})
    temporary = tmp_path / ".out.unpacking"
    temporary.mkdir()  # what a run killed by SIGKILL leaves
    (temporary / "old").write_text("")
    real, calls = module._copy, []

    def killed(entry, path):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(entry, path)

    monkeypatch.setattr(unpack, "_copy", killed)
    with pytest.raises(KeyboardInterrupt):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not temporary.exists()
    monkeypatch.setattr(unpack, "_copy", real)
    assert extract(archive, tmp_path / "out") == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1", "2"]


def check_refused(archive, tmp_path, word):
    """An InputError, nothing in the target, nothing beside it, nothing left over."""
    target = tmp_path / "area" / "inner" / "target"
    target.parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match=word):
        extract(archive, target)
    assert not [p for p in (tmp_path / "area").rglob("*") if p != target.parent]
