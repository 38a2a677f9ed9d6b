import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError

STATE = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(4)}


def test_npz(tmp_path):
    np.savez(tmp_path / "w.npz", **STATE)
    found = models.read_weights(str(tmp_path / "w.npz"))
    assert found.keys() == STATE.keys()
    for name, value in STATE.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


def test_safetensors(tmp_path):
    import safetensors.numpy

    safetensors.numpy.save_file(STATE, tmp_path / "w.safetensors")
    found = models.read_weights(str(tmp_path / "w.safetensors"))
    np.testing.assert_array_equal(found["fc.weight"], STATE["fc.weight"])
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-5])
    with pytest.raises(InputError, match="cannot be read as .safetensors"):
        models.read_weights(str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("name", ["model.pth", "model.PT", "last.ckpt"])
def test_pickles_are_refused_with_a_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"never opened")
    with pytest.raises(InputError, match=r"pickle.*weights_only=True.*numpy.savez"):
        models.read_weights(str(tmp_path / name))


def test_pickles_inside_npz_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", allow_pickle=True, a=np.array({"b": 1}, dtype=object))
    with pytest.raises(InputError, match="cannot be read as .npz"):
        models.read_weights(str(tmp_path / "w.npz"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.pth"])
def test_pointers_and_web_pages_are_called_that(tmp_path, name):
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1")
    with pytest.raises(InputError, match=f"{name} is a Git LFS pointer"):
        models.read_weights(str(tmp_path / name))
    (tmp_path / name).write_bytes(b"\n<!DOCTYPE html><html>")
    with pytest.raises(InputError, match=f"{name} is a web page"):
        models.read_weights(str(tmp_path / name), allow_pickle=True)


def test_wrong_files(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        models.read_weights(str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match="give a .npz or .safetensors"):
        models.read_weights(str(tmp_path))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(InputError, match="cannot be read as .npz"):
        models.read_weights(str(tmp_path / "cut.npz"))
    np.savez(tmp_path / "text.npz", a=np.array("no number"))
    with pytest.raises(InputError, match="tensor a is not numeric"):
        models.read_weights(str(tmp_path / "text.npz"))
    np.savez(tmp_path / "nan.npz", a=np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="tensor a holds NaN"):
        models.read_weights(str(tmp_path / "nan.npz"))
