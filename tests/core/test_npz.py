"""Archives of arrays that are damaged, or claim more than they hold."""

import io
import zipfile

import numpy as np
import pytest

from adapt_jax.core import npz, sheets
from adapt_jax.core.errors import InputError


def test_arrays_come_back(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.arange(6).reshape(2, 3), b=np.array(["x", "é"]))
    found = npz.read(path)
    np.testing.assert_array_equal(found["a"], [[0, 1, 2], [3, 4, 5]])
    assert found["b"].tolist() == ["x", "é"]
    assert list(npz.read(path, ("b", "c"))) == ["b"]
    with pytest.raises(FileNotFoundError):
        npz.read(tmp_path / "none.npz")


def _claiming(shape):
    """An array of one number whose header claims a shape."""
    out = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + b"1234"


def test_what_claims_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    for shape in ((10**12,), (1 << 62, 4), (2,)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", _claiming(shape))
        with pytest.raises(InputError, match="shorter than its shape"):
            npz.read(path)
    monkeypatch.setattr(npz, "ALLOWANCE", 10_000)
    np.savez_compressed(path, a=np.zeros(10_000, np.float64))
    with pytest.raises(InputError, match="would take"):
        npz.read(path)


def test_every_kind_of_damage_is_an_input_error(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(50.0), b=np.array(["x"]))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        content = bytearray(whole)
        if rng.integers(2):
            del content[rng.integers(len(content)) :]
        for at in rng.integers(len(content), size=3) if len(content) else ():
            content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            npz.read(path)
        except InputError:
            refused += 1
    assert refused > 100
    for objects in (np.array([{}], object),):
        np.savez(path, a=objects)
        with pytest.raises(InputError, match="pickle"):
            npz.read(path)


def test_a_spreadsheet_executes_no_cell():
    rows = [
        {"a": text, "b": -1.5} for text in ("=1+1", "+x", "-x", "@x", "\tx", "knn?k=5", "-0.25")
    ]
    lines = sheets.csv_text(rows, ["a", "b"]).splitlines()
    assert lines[1:] == [
        "'=1+1,-1.5",
        "'+x,-1.5",
        "'-x,-1.5",
        "'@x,-1.5",
        "'\tx,-1.5",
        "knn?k=5,-1.5",
        "-0.25,-1.5",
    ]
