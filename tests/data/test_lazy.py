"""Sets that stay files: the same images as a decoded set has, when they are asked for."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import augment, contents, decode, sources
from adapt_jax.data.__main__ import main


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    return tmp_path / "set"


@pytest.mark.parametrize("options", ["", "?classes=1", "?resize=18&sample=4"])
def test_lazy_images_are_those_of_the_decoded_set(folder, options):
    source = f"folder:{folder}{options}"
    decoded = sources.load(source, 16)
    lazy = sources.load(source, 16, at_most=0)
    assert isinstance(decoded.images, np.ndarray)
    assert lazy.images.shape == decoded.images.shape
    assert lazy.images.nbytes == decoded.images.nbytes
    for which in (slice(1, 3), np.array([3, 0, 2]), slice(2, 100), slice(90, 99), 1):
        np.testing.assert_array_equal(lazy.images[which], decoded.images[which])
    np.testing.assert_array_equal(lazy.labels, decoded.labels)
    assert (lazy.names, lazy.class_names) == (decoded.names, decoded.class_names)
    whole = [decode.fit(decode.opened(lazy.images.encoded(i)), 16) for i in range(len(lazy.names))]
    if "resize" not in options:
        np.testing.assert_array_equal(whole, decoded.images)
    means, deviations = zip(augment.mean_std(lazy.images), augment.mean_std(decoded.images))
    np.testing.assert_array_equal(*means)
    np.testing.assert_array_equal(*deviations)
    with pytest.raises(TypeError, match="a batch at a time"):
        np.asarray(lazy.images)


def test_only_a_set_that_is_too_large_stays_files(folder):
    exactly = 10 * 16 * 16 * 3
    assert isinstance(sources.load(f"folder:{folder}", 16, at_most=exactly).images, np.ndarray)
    lazy = sources.load(f"folder:{folder}", 16, at_most=exactly - 1)
    assert not isinstance(lazy.images, np.ndarray)


def test_arrays_in_memory_can_be_read_so_too(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.array([0, 1, 0, 1]))
    source = f"npz:{tmp_path / 'set.npz'}"
    decoded, lazy = sources.load(source, 16), sources.load(source, 16, at_most=0)
    np.testing.assert_array_equal(lazy.images[0:4], decoded.images)
    np.testing.assert_array_equal(lazy.images.encoded(2), images[2])
    images[3, 0, 0, 0] ^= 1
    np.savez(tmp_path / "set.npz", images=images, labels=np.array([0, 1, 0, 1]))
    assert sources.load(source, 16, at_most=0).content_sha256 != lazy.content_sha256


def test_the_fingerprint_is_the_same_on_another_machine_and_notices_changes(folder, tmp_path):
    def known(place, size=16):
        return sources.load(f"folder:{place}", size, at_most=0).content_sha256

    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)  # other mtimes
    before = known(folder)
    assert known(tmp_path / "copy") == before
    assert known(folder, 17) != before
    with open(folder / "dog" / "3.png", "ab") as file:
        file.write(b"more")
    assert known(folder) != before
    os.rename(folder / "dog" / "4.png", folder / "dog" / "5.png")
    assert known(folder) != known(tmp_path / "copy")


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".png"])
@pytest.mark.parametrize("at_most", [0, None])
def test_other_pixels_under_the_same_name_and_size_are_other_images(tmp_path, suffix, at_most):
    """With the old modification time, too; what is remembered of the old file is not used."""
    place = tmp_path / "set"
    place.mkdir()

    def write(value):
        for i in range(3):
            path = place / f"{i}{suffix}"
            Image.fromarray(np.full((8, 8, 3), value + i, np.uint8)).save(path)
            os.utime(path, ns=(10**18, 10**18))

    def known():
        found = sources.load(f"folder:{place}", 8, at_most=at_most, cache_dir=tmp_path / "cache")
        return found.content_sha256, int(np.asarray(found.images[0:1]).max())

    write(10)
    first, value = known()
    assert value == 10
    sizes = [p.stat().st_size for p in sorted(place.iterdir())]
    write(90)
    assert [p.stat().st_size for p in sorted(place.iterdir())] == sizes
    second, value = known()
    assert value == 90
    assert second != first
    write(10)
    assert known()[0] == first


def test_hashes_of_files_are_remembered_until_a_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"a")
    read = []
    hashed = contents.file_sha256
    monkeypatch.setattr(contents, "file_sha256", lambda p: (read.append(p), hashed(p))[1])

    def known():
        return contents.sha256s([str(path)], tmp_path / "cache")[0]

    first = known()
    assert known() == first
    assert len(read) == 2  # it has just changed, and may again
    monkeypatch.setattr(contents, "SETTLED", -(10**18))
    assert known() == known() == first
    assert len(read) == 3
    path.write_bytes(b"b")
    assert known() != first


def test_unreadable_images_are_left_out_on_request_and_counted(folder, tmp_path):
    whole = (folder / "dog" / "2.png").read_bytes()
    (folder / "dog" / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"dog/2\.png"):
        sources.load(f"folder:{folder}", 16)
    for at_most in (0, None):
        for _ in range(2):  # the second time it is remembered
            found = sources.load(
                f"folder:{folder}?unreadable=skip", 16, at_most=at_most, cache_dir=tmp_path / "c"
            )
            assert found.skipped == 1
            assert found.note == "; 1 unreadable images left out"
            assert len(found.names) == len(found.labels) == len(found.images) == 9
            assert "dog/2.png" not in found.names
            assert found.images[0:9].shape == (9, 16, 16, 3)
    assert sources.lazy_set(f"folder:{folder}?unreadable=skip", 8, decode.fit).skipped == 1
    for path in folder.rglob("*.png"):
        path.write_bytes(b"x")
    with pytest.raises(InputError, match="none of its 10 images can be read"):
        sources.load(f"folder:{folder}?unreadable=skip", 16)


def test_files_that_are_passed_over_are_counted_by_suffix(folder):
    for name in ("a.heic", "b.HEIC", "c.jp2", "d"):
        (folder / "cat" / name).write_bytes(b"x")
    (folder / ".hidden").touch()
    found = sources.load(f"folder:{folder}", 16)
    assert found.note == "; passed over 2 .heic, 1 .jp2, 1 without a suffix"
    assert sources.load(f"folder:{folder / 'dog'}", 16).note == ""


def test_a_broken_image_is_named_when_it_is_read(folder):
    whole = (folder / "dog" / "2.png").read_bytes()
    (folder / "dog" / "2.png").write_bytes(whole[: len(whole) // 2])
    lazy = sources.load(f"folder:{folder}", 16, at_most=0)
    assert lazy.images[:7].shape == (7, 16, 16, 3)
    with pytest.raises(InputError, match=r"cannot read image dog/2\.png"):
        lazy.images[5:9]


def test_all_broken_images_can_be_found_beforehand(folder, capsys):
    assert main(["verify", f"folder:{folder}"]) == 0
    for name in ("dog/2.png", "cat/0.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:90])
    assert main(["verify", f"folder:{folder}"]) == 2
    said = capsys.readouterr()
    assert "cannot read image cat/0.png" in said.out
    assert "cannot read image dog/2.png" in said.out
    assert "2 of 10 images" in said.out
    assert "1 of 1 checks failed" in said.err
