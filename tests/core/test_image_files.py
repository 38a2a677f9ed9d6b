"""Depth, orientation and formats of image files, against arrays that say what must come out."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from adapt_jax.core.errors import InputError
from adapt_jax.core.image_files import opened, standard, upright_size

LEVELS = np.array([[0, 1], [2, 4]])  # quarters of the brightest level


def grey(path, brightest, levels=LEVELS):
    Image.fromarray((levels * brightest // 4).astype(np.uint16)).save(path)
    return path


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_the_bits_in_use_of_sixteen_are_scaled_to_eight(tmp_path, bits, suffix):
    with pytest.warns(UserWarning, match="12 bits or fewer"):
        out = pixels_of(grey(tmp_path / f"x.{suffix}", 2**bits - 1))
    assert out.dtype == np.uint8
    assert out.tolist() == [[0, 63 if bits == 8 else 64], [127, 255]]


def test_full_sixteen_bits_and_declared_depths_are_no_guess(tmp_path):
    def pgm(largest, levels):
        body = np.array(levels, ">u2").tobytes()
        (tmp_path / "x.pgm").write_bytes(b"P5 2 2 %d\n" % largest + body)
        return pixels_of(tmp_path / "x.pgm").tolist()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels_of(grey(tmp_path / "x.png", 65535)).tolist() == [[0, 64], [127, 255]]
        assert pgm(4095, [0, 1, 2, 4095]) == [[0, 0], [0, 255]]
        assert pgm(65535, [0, 257, 514, 2570]) == [[0, 1], [2, 10]]  # dark, and known to be


def sixteen_bit_colours(path, brightest):
    """A PNG of 2 x 1 pixels with 16 bits per channel, which Pillow does not write."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    row = b"\0" + np.array([0, 0, 0, brightest, brightest // 2, 0], ">u2").tobytes()
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    return path


def pixels_of(path):
    with opened(path) as image:
        return np.asarray(standard(image))


def test_colours_of_which_nothing_would_be_left_are_refused(tmp_path):
    bright = pixels_of(sixteen_bit_colours(tmp_path / "x.png", 65535))
    assert bright.tolist() == [[[0, 0, 0], [255, 127, 0]]]
    with pytest.raises(InputError, match="12 bits or fewer.*save it with 8 bits"):
        pixels_of(sixteen_bit_colours(tmp_path / "x.png", 4095))
    assert not pixels_of(sixteen_bit_colours(tmp_path / "x.png", 0)).any()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_orientation_is_that_of_pillows_own_function(tmp_path, orientation, suffix):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8], pixels[8:, 16:] = (250, 0, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image)
    with opened(path) as image:
        assert upright_size(image) == expected.size == ((16, 32) if orientation >= 5 else (32, 16))
        out = standard(image)
        np.testing.assert_array_equal(np.asarray(out), np.asarray(expected))
        np.testing.assert_array_equal(np.asarray(standard(out)), np.asarray(out))  # turned once


def test_a_damaged_exif_block_is_no_orientation(tmp_path):
    pixels = np.full((8, 16, 3), 90, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(pixels_of(tmp_path / "x.png"), pixels)


def test_only_named_formats_are_opened_whatever_a_file_is_called(tmp_path):
    postscript = tmp_path / "cat.jpg"
    Image.new("RGB", (8, 8)).save(postscript, "EPS")
    for encoded in (postscript, postscript.read_bytes()):
        with pytest.raises(InputError, match="none of the formats that are read .*JPEG"):
            opened(encoded)
    (tmp_path / "dog.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid")
    with pytest.raises(InputError, match="it is a Git LFS pointer"):
        opened(tmp_path / "dog.png")
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "nowhere.png")
    array = np.zeros((2, 2, 3), np.uint8)
    assert opened(array) is array
