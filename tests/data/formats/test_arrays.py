"""`npz:` and `mat:` files, good and bad."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from adapt_jax.core.errors import InputError
from adapt_jax.data import load
from adapt_jax.data.formats import arrays as formats

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = np.array([2, 0, 1, 1, 0, 2])


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez_compressed(tmp_path / "x.npz", **arrays)
        return f"npz:{tmp_path}/x.npz"

    return write


def test_everything_there(npz):
    names = [f"im{i}.png" for i in range(6)]
    data = load(
        npz(images=IMAGES, labels=LABELS, names=names, class_names=["a", "b", "c"]),
        8,
        labeled=True,
    )
    np.testing.assert_array_equal(data.images, IMAGES)
    np.testing.assert_array_equal(data.labels, LABELS)
    assert data.labels.dtype == np.int32
    assert data.names == tuple(names)
    assert data.class_names == ("a", "b", "c")


def test_images_alone(npz):
    source = npz(images=IMAGES)
    data = load(source, 8)
    assert data.labels is None
    assert data.class_names == ()
    assert data.names[4].endswith("x.npz[4]")
    with pytest.raises(InputError, match="labels are needed.*no array `labels`"):
        load(source, 8, labeled=True)


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 8, 1)])
def test_grey_is_repeated(npz, shape):
    grey = IMAGES[..., 0].reshape(shape)
    data = load(npz(images=grey, labels=LABELS.astype(np.uint8)), 8, labeled=True)
    np.testing.assert_array_equal(data.images, np.repeat(grey.reshape(6, 8, 8, 1), 3, axis=3))


def test_other_sizes_take_the_pil_path(npz):
    large = np.random.default_rng(1).integers(0, 256, (3, 20, 30, 3), np.uint8)
    data = load(npz(images=large), 10)
    expected = Image.fromarray(large[2]).resize((15, 10), Image.BILINEAR).crop((2, 0, 12, 10))
    np.testing.assert_array_equal(data.images[2], np.asarray(expected))


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"data": IMAGES, "y": LABELS}, "no array `images`; the file has: data, y"),
        ({"images": IMAGES / 255.0}, "float64.*expected uint8.*scale to 0..255"),
        ({"images": IMAGES.astype(np.int64)}, "int64.*expected uint8"),
        ({"images": IMAGES[0, 0]}, r"\(8, 3\); expected"),
        ({"images": IMAGES[..., :2]}, r"\(6, 8, 8, 2\); expected"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, "channels come last"),
        ({"images": IMAGES[:0]}, "no image in it"),
        ({"images": IMAGES, "labels": LABELS[:5]}, r"\(5,\); expected .*\(6,\)"),
        ({"images": IMAGES, "labels": LABELS[:, None]}, r"\(6, 1\); expected"),
        ({"images": IMAGES, "labels": LABELS * 1.0}, "float64"),
        ({"images": IMAGES, "labels": LABELS + 1}, "no image of class 0"),
        ({"images": IMAGES, "labels": LABELS * 2, "class_names": list("abcde")}, "class 1 .b."),
        ({"images": IMAGES, "labels": LABELS - 1}, "negative label -1"),
        ({"images": IMAGES, "labels": LABELS, "class_names": ["a", "b"]}, "only 2 class names"),
        ({"images": IMAGES, "names": ["a"]}, "`names` has shape"),
        ({"images": IMAGES[0]}, "looks like one colour picture"),
        ({"images": IMAGES[0].transpose(2, 0, 1)}, "looks like one colour picture"),
        ({"images": IMAGES[..., 0].transpose(1, 2, 0)}, "looks like .H, W, N.; use images.transp"),
        ({"images": np.array([{}, {}], object)}, "pickled"),
        ({"images": IMAGES, "labels": np.array([None] * 6, object)}, "pickled"),
    ],
)
def test_what_is_wrong_is_said(npz, arrays, word):
    with pytest.raises(InputError, match=word):
        load(npz(**arrays), 8, labeled=True)


def test_a_mat_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    savemat(tmp_path / "t.mat", {"X": np.zeros((32, 32, 3, 100), np.uint8)}, do_compression=True)
    monkeypatch.setattr(formats.npz, "ALLOWANCE", 1000)
    with pytest.raises(InputError, match="would take more than"):
        load(f"mat:{tmp_path}/t.mat", 32)


def test_damaged_files(npz, tmp_path):
    source = npz(images=IMAGES, labels=LABELS)
    path = tmp_path / "x.npz"
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[300] ^= 255
    for content in (data[:200], b"", b"plain text", b"\x80\x04K\x01.", bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.npz"):
            load(source, 8)
    with open(path, "wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(InputError, match="single array"):
        load(source, 8)


@pytest.fixture
def mat(tmp_path):
    def write(**arrays):
        savemat(tmp_path / "t.mat", arrays, do_compression=True)
        return f"mat:{tmp_path}/t.mat"

    return write


def test_svhn_matrices(mat):
    """X is (H, W, 3, N); y counts the digit 0 as 10."""
    labels = np.array([[10], [1], [2], [3], [4], [5], [6], [7], [8], [9], [1], [10]], np.uint8)
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    source = mat(X=images.transpose(1, 2, 3, 0), y=labels)
    data = load(source, 8, labeled=True)
    np.testing.assert_array_equal(data.images, images)
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 0]
    assert data.class_names == tuple("0123456789")
    assert data.names[11] == "t.mat[11]"
    few = load(f"{source}?per_class=1", 8)
    np.testing.assert_array_equal(few.images, images[:10])
    assert load(source, 4).images.shape == (12, 4, 4, 3)


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"X": IMAGES.transpose(1, 2, 3, 0)}, "no array 'y'"),
        ({"X": IMAGES[0], "y": LABELS + 1}, "not .H, W, 3, N"),
        ({"X": IMAGES.transpose(1, 2, 3, 0) / 255, "y": LABELS + 1}, "float64"),
        ({"X": IMAGES.transpose(1, 2, 3, 0), "y": LABELS[:5] + 1}, "one y of 1 to 10"),
        ({"X": IMAGES.transpose(1, 2, 3, 0), "y": LABELS + 9}, "one y of 1 to 10"),
    ],
)
def test_matrices_that_are_wrong(mat, arrays, word):
    with pytest.raises(InputError, match=word):
        load(mat(**arrays), 8, labeled=True)


def test_damaged_matrices(mat, tmp_path):
    source = mat(X=IMAGES.transpose(1, 2, 3, 0), y=LABELS + 1)
    whole = (tmp_path / "t.mat").read_bytes()
    for content in (whole[:300], b"", b"<html>", b"\x89HDF\r\n\x1a\n" + bytes(600)):
        (tmp_path / "t.mat").write_bytes(content)
        with pytest.raises(InputError, match=r"t\.mat"):
            load(source, 8)
