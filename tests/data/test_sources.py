"""Source strings, the embedded sets, options, labels and fingerprints."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import check, decode, load, parse, sources


@pytest.mark.parametrize(
    ("text", "kind", "place", "options"),
    [
        ("digits", "digits", "", {}),
        ("photos:grey?limit=5", "photos", "grey", {"limit": 5}),
        ("tfds:dtd:train+test[:50%]", "tfds", "dtd:train+test[:50%]", {}),
        ("folder:/a b/c=d?classes=3+0-1", "folder", "/a b/c=d", {"classes": (0, 1, 3)}),
        ("folder:a?b?limit=1", "folder", "a?b", {"limit": 1}),
        ("list:x.txt?root=/data/i&limit=2", "list", "x.txt", {"root": "/data/i", "limit": 2}),
        (" npz:C:/x.npz ", "npz", "C:/x.npz", {}),
        ("mat:t.mat?per_class=9&resize=256", "mat", "t.mat", {"per_class": 9, "resize": 256}),
        ("folder:p?sample=7&resize=stretch", "folder", "p", {"sample": 7, "resize": "stretch"}),
    ],
)
def test_parse(text, kind, place, options):
    parsed = parse(text)
    assert (parsed.kind, parsed.place) == (kind, place)
    for name in ("classes", "per_class", "sample", "limit", "resize", "root"):
        assert getattr(parsed, name) == options.get(name)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "unknown data source"),
        ("foldr:x", "did you mean 'folder'"),
        ("../data/train", "did you mean 'folder:../data/train'?"),
        ("a.npz?limit=3", "did you mean 'npz:a.npz.limit=3'?"),
        ("folder:", "does not say where"),
        ("npz", "does not say where"),
        ("digits:val", "digits:train"),
        ("digits?", "options are"),
        ("digits?limit", "options are"),
        ("digits?limit=", "options are"),
        ("digits?limit=0", "options are"),
        ("digits?limit=-1", "options are"),
        ("digits?limit=1&limit=2", "options are"),
        ("digits?size=3", "options are"),
        ("digits?root=x", "options are"),
        ("digits?classes=5-3", "options are"),
        ("digits?classes=1+1", "options are"),
        ("digits?classes=1,2", "options are"),
        ("digits?classes=0-9999999999", "options are"),
        ("list:a?root=x,y", "options are"),
        ("digits?resize=big", "options are"),
        ("digits?limit=stretch", "options are"),
        ("digits?per_class=0", "options are"),
    ],
)
def test_parse_refuses(text, word):
    with pytest.raises(InputError, match=word):
        parse(text)


@pytest.mark.parametrize("text", ["folder:no/such", "list:no.txt", "npz:no.npz"])
def test_check_says_what_is_missing(text):
    with pytest.raises(InputError, match="there is no"):
        check(text)
    with pytest.raises(InputError, match="there is no"):
        load(text, 8)


def test_digits():
    data = load("digits", 8, labeled=True)
    assert data.images.shape == (1797, 8, 8, 3)
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int32
    assert (data.images.min(), data.images.max()) == (0, 255)
    assert (data.images[..., 0] == data.images[..., 2]).all()
    assert data.class_names == tuple("0123456789")
    assert data.labels[:10].tolist() == list(range(10))
    assert data.names[3] == "digits[3]"


def test_digits_split_is_stratified_disjoint_and_complete():
    train, test = load("digits:train", 8), load("digits:test", 8)
    assert not set(train.names) & set(test.names)
    assert set(train.names) | set(test.names) == set(load("digits", 8).names)
    share = np.bincount(test.labels) / (np.bincount(test.labels) + np.bincount(train.labels))
    np.testing.assert_allclose(share, 1 / 3, atol=0.005)


def test_classes_are_numbered_anew_and_limit_comes_after():
    whole, some = load("digits", 8), load("digits?classes=7+2-3&limit=50", 8, labeled=True)
    assert some.class_names == ("2", "3", "7")
    keep = np.flatnonzero(np.isin(whole.labels, [2, 3, 7]))[:50]
    np.testing.assert_array_equal(some.images, whole.images[keep])
    np.testing.assert_array_equal(np.array([2, 3, 7])[some.labels], whole.labels[keep])
    assert some.names == tuple(whole.names[i] for i in keep)
    assert len(load("digits?limit=5000", 8).names) == 1797


def test_first_of_each_class():
    """As SVHN's 1,000 per digit are chosen: in the file's order, until a class is full."""
    whole, some = load("digits", 8), load("digits?per_class=20&classes=3-9", 8)
    counted, keep = np.zeros(10, int), []
    for i, label in enumerate(whole.labels):
        if label >= 3 and counted[label] < 20:
            keep.append(i)
        counted[label] += 1
    assert some.names == tuple(whole.names[i] for i in keep)
    assert np.bincount(some.labels).tolist() == [20] * 7
    assert len(load("digits?per_class=175", 8).names) == 1749  # a few classes have 174


def test_sample_is_the_draw_of_a_legacy_seed():
    whole, some = load("digits", 8), load("digits?sample=10&limit=9", 8)
    # numpy.random.seed(1); numpy.random.choice(1797, 10, replace=False)
    drawn = [1227, 1576, 202, 1184, 428, 941, 598, 267, 102]
    assert some.names == tuple(whole.names[i] for i in drawn)
    np.testing.assert_array_equal(some.images, whole.images[drawn])
    everything = load("digits?sample=5000", 8)
    assert everything.names == whole.names


def test_names_without_decoding(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert sources.names(f"folder:{tmp_path}") == ("broken.png",)
    assert sources.names("digits?classes=3&limit=2") == load("digits?classes=3&limit=2", 8).names


def test_resize_before_the_cut(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPT_JAX_CACHE", str(tmp_path / "cache"))
    plain, larger = load("digits?limit=3", 8), load("digits?limit=3&resize=16", 8)
    grown = [Image.fromarray(i).resize((16, 16), Image.BILINEAR) for i in plain.images]
    np.testing.assert_array_equal(
        larger.images, [np.asarray(i.crop((4, 4, 12, 12))) for i in grown]
    )
    grown[0].save(tmp_path / "a.png")
    variants = [load(f"folder:{tmp_path}{o}", 8) for o in ("", "?resize=9", "?resize=stretch")]
    again = [load(f"folder:{tmp_path}{o}", 8) for o in ("", "?resize=9", "?resize=stretch")]
    assert [v.content_sha256 for v in variants] == [v.content_sha256 for v in again]
    assert variants[0].content_sha256 != variants[1].content_sha256
    with pytest.raises(InputError, match="resize=7 is smaller than image_size 8"):
        load("digits?resize=7", 8)


def test_photographs_are_turned_and_images_of_suites_are_not(tmp_path):
    """A photograph scores the same from `predict` and in a set; suites see what OpenOOD sees."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    for suffix in ("jpg", "png"):
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", exif=exif)
    given = f"folder:{tmp_path}"
    own, suite = load(given, 8), load(f"{given}?exif=ignore", 8)
    for i, name in enumerate(own.names):
        np.testing.assert_array_equal(own.images[i], decode.read(tmp_path / name, 8))
        np.testing.assert_array_equal(own.images[i], np.rot90(suite.images[i], -1))
        np.testing.assert_array_equal(suite.images[i], np.asarray(Image.open(tmp_path / name)))
    assert own.content_sha256 != suite.content_sha256
    lazy = load(f"{given}?exif=ignore", 8, at_most=0).images
    np.testing.assert_array_equal(lazy[:], suite.images)
    with pytest.raises(InputError, match="exif=ignore is for sets that are evaluated"):
        lazy.encoded(0)


def test_class_that_is_not_there():
    with pytest.raises(InputError, match="asks for class 10, but there are only 10"):
        load("digits?classes=8-10", 8)


@pytest.mark.parametrize("size", [1, 8, 32])
def test_photos(size):
    colour, grey = load("photos", size), load("photos:grey", size)
    assert colour.images.shape == grey.images.shape == (800, size, size, 3)
    assert (grey.images[..., 0] == grey.images[..., 1]).all()
    assert not np.array_equal(colour.images[..., 0], colour.images[..., 1])
    assert colour.names == grey.names == load("photos:colour", size).names
    assert len(set(colour.names)) == 800
    assert colour.content_sha256 == load("photos:colour", size).content_sha256
    assert colour.class_names == ("china", "flower")


def test_photos_are_only_so_large():
    with pytest.raises(InputError, match="at most 427"):
        load("photos", 428)
    assert load("photos?limit=1", 427).images.shape == (1, 427, 427, 3)


def test_other_sizes_are_resized():
    assert load("digits?limit=3", 32).images.shape == (3, 32, 32, 3)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "8"])
def test_image_size_must_be_a_size(size):
    with pytest.raises(InputError, match="image_size"):
        load("digits", size)


def test_fingerprint_tells_pixels_labels_and_shape(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1, 0, 1])

    def of(name, images, **more):
        np.savez(tmp_path / name, images=images, **more)
        return load(f"npz:{tmp_path / name}.npz", 8).content_sha256

    first = of("a", images, labels=labels)
    assert first == of("b", images, labels=labels, class_names=["x", "y"])
    changed = images.copy()
    changed[5, 7, 7, 2] ^= 1
    others = [
        of("c", changed, labels=labels),
        of("d", images, labels=labels[::-1]),
        of("e", images),
        of("f", images[:5], labels=labels[:5]),
    ]
    assert len({first, *others}) == 5
    assert len(first) == 64


def test_importing_the_package_brings_neither_jax_nor_tensorflow():
    code = (
        "import sys, adapt_jax.data; print([m for m in ('jax', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
