"""The cache: used when whole, rebuilt when not, never in the way."""

import errno
import warnings

import numpy as np
import pytest

from adapt_jax.core.files import cache_folder
from adapt_jax.data import cache, load

CONTENT = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)


@pytest.fixture
def builder():
    class Builder:
        calls = 0

        def __call__(self):
            self.calls += 1
            yield CONTENT[:3]
            yield CONTENT[3:]

    return Builder()


def get(builder, folder, key="k"):
    return cache.array(key, CONTENT.shape, np.uint8, builder, folder)


def test_built_once(builder, tmp_path):
    for _ in range(3):
        np.testing.assert_array_equal(get(builder, tmp_path), CONTENT)
    assert builder.calls == 1
    get(builder, tmp_path, "other")
    assert builder.calls == 2
    files = list((tmp_path / "arrays").iterdir())
    assert len(files) == 2
    np.testing.assert_array_equal(np.load(files[0]), CONTENT)  # an ordinary .npy as well


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "garbage", "longer"])
def test_damage_is_noticed(builder, tmp_path, damage):
    get(builder, tmp_path)
    (path,) = (tmp_path / "arrays").iterdir()
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-40] ^= 1
    content = {"truncated": data[:-50], "empty": b"", "garbage": b"x" * 99, "longer": data + b"0"}
    path.write_bytes(bytes(content.get(damage, data)))
    np.testing.assert_array_equal(get(builder, tmp_path), CONTENT)
    assert builder.calls == 2
    get(builder, tmp_path)
    assert builder.calls == 2


def test_unwritable_folder_is_a_warning_only(builder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="ADAPT_JAX_CACHE"):
        out = get(builder, tmp_path / "file")
    np.testing.assert_array_equal(out, CONTENT)


def test_full_disk_leaves_nothing_behind(builder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", full)
    with pytest.warns(UserWarning, match="No space left"):
        np.testing.assert_array_equal(get(builder, tmp_path), CONTENT)
    assert not list((tmp_path / "arrays").iterdir())


def test_failing_builder_leaves_nothing_behind(tmp_path):
    def failing():
        yield CONTENT[:3]
        raise RuntimeError("bad image")

    with pytest.raises(RuntimeError, match="bad image"):
        cache.array("k", CONTENT.shape, np.uint8, failing, tmp_path)
    assert not list((tmp_path / "arrays").iterdir())


def test_what_a_killed_program_left_is_removed_and_what_another_writes_is_not(builder, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "arrays").mkdir()
    left, held = (tmp_path / "arrays" / name for name in ("left.tmp", "held.tmp"))
    left.write_bytes(b"x")
    with open(held, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        get(builder, tmp_path)
        assert held.exists()
    assert not left.exists()


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.delenv("ADAPT_JAX_CACHE", raising=False)
    assert str(cache_folder()) == "/xdg/adapt_jax"
    monkeypatch.setenv("ADAPT_JAX_CACHE", "/own")
    assert str(cache_folder()) == "/own"
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.delenv("ADAPT_JAX_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/elsewhere")
    assert str(cache_folder()) == "/elsewhere/.cache/adapt_jax"


def test_embedded_sets_need_no_cache(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("digits?limit=9", 16, cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())
