"""The rules of decoding, and the name of the file in every complaint."""

import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core import patience
from adapt_jax.core.errors import InputError, NoAnswer
from adapt_jax.data import decode


def rainbow(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def chunk(kind, body):
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


@pytest.mark.parametrize(
    "suffix", ["png", "webp", "bmp", "tiff", "gif", "jpg", "ppm"], ids=lambda s: s
)
def test_formats(tmp_path, suffix):
    pixels = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == "webp" else {}))
    out = decode.read(path, 8)
    assert out.shape == (8, 8, 3)
    assert out.dtype == np.uint8
    assert np.abs(out.astype(int) - pixels).max() <= (3 if suffix == "jpg" else 0)


def test_modes_become_rgb(tmp_path):
    pixels = rainbow(8, 8)
    image = Image.fromarray(pixels)
    grey = np.asarray(image.convert("L"))
    alpha = Image.fromarray(rainbow(8, 8, 1)[..., 0])
    with_alpha = image.copy()
    with_alpha.putalpha(alpha)
    cases = {
        "grey": (image.convert("L"), np.repeat(grey[..., None], 3, 2)),
        "bilevel": (image.convert("1"), np.asarray(image.convert("1").convert("RGB"))),
        "alpha is dropped": (with_alpha, pixels),
        "palette": (image.quantize(16), np.asarray(image.quantize(16).convert("RGB"))),
    }
    for name, (saved, expected) in cases.items():
        saved.save(tmp_path / "x.png")
        np.testing.assert_array_equal(decode.read(tmp_path / "x.png", 8), expected, err_msg=name)


def test_palette_with_transparency_is_no_warning(tmp_path, recwarn):
    image = Image.fromarray(rainbow(8, 8)).quantize(4)
    image.save(tmp_path / "x.png", transparency=bytes([0, 128, 255, 255]))
    decode.read(tmp_path / "x.png", 8)
    assert not list(recwarn)


def test_sixteen_bit_grey_is_scaled(tmp_path):
    levels = np.array([[0, 257], [32768, 65535]], np.uint16)
    for suffix in ("png", "tiff"):
        Image.fromarray(levels).save(tmp_path / f"x.{suffix}")
        out = decode.read(tmp_path / f"x.{suffix}", 2)
        assert out[..., 1].tolist() == [[0, 1], [128, 255]]
    (tmp_path / "x.pgm").write_bytes(b"P5 2 2 65535\n" + levels.astype(">u2").tobytes())
    assert decode.read(tmp_path / "x.pgm", 2)[..., 1].tolist() == [[0, 1], [128, 255]]


def test_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(decode.read(tmp_path / "x.png", 8), np.rot90(pixels, -1))


@pytest.mark.parametrize(
    ("height", "width", "size", "scaled", "offset"),
    [
        # (width, height) after int(S * long / short); (left, top) after round((x - S) / 2)
        (40, 60, 32, (48, 32), (8, 0)),
        (65, 64, 32, (32, 32), (0, 0)),
        (67, 64, 32, (32, 33), (0, 0)),  # 0.5 rounds to even
        (70, 64, 32, (32, 35), (0, 2)),  # so does 1.5
        (28, 28, 32, (32, 32), (0, 0)),
        (7, 50, 32, (228, 32), (98, 0)),
    ],
)
def test_shorter_side_then_centre_as_torchvision(height, width, size, scaled, offset):
    image = Image.fromarray(rainbow(height, width))
    expected = image.resize(scaled, Image.BILINEAR)
    left, top = offset
    expected = expected.crop((left, top, left + size, top + size))
    np.testing.assert_array_equal(decode.fit(image, size), np.asarray(expected))
    np.testing.assert_array_equal(decode.fit(np.asarray(image), size), np.asarray(expected))


@pytest.mark.parametrize(
    ("height", "width", "resize", "scaled", "offset"),
    [
        (224, 224, 256, (256, 256), (16, 16)),  # also what has the right size already
        (256, 256, 256, (256, 256), (16, 16)),
        (300, 401, 256, (342, 256), (59, 16)),  # int(342.18...); round(59.0)
        (375, 500, 256, (341, 256), (58, 16)),  # round(58.5) = 58
        (500, 333, 256, (256, 384), (16, 80)),
        (40, 28, 224, (224, 320), (0, 48)),
    ],
)
def test_resize_then_centre_as_torchvision(height, width, resize, scaled, offset):
    image = Image.fromarray(rainbow(height, width))
    left, top = offset
    expected = image.resize(scaled, Image.BILINEAR).crop((left, top, left + 224, top + 224))
    np.testing.assert_array_equal(decode.fit(image, 224, resize), np.asarray(expected))


def test_stretch_ignores_the_shape(tmp_path):
    image = Image.fromarray(rainbow(40, 60))
    image.save(tmp_path / "x.png")
    expected = np.asarray(image.resize((32, 32), Image.BILINEAR))
    np.testing.assert_array_equal(decode.fit(image, 32, "stretch"), expected)
    np.testing.assert_array_equal(decode.read(tmp_path / "x.png", 32, "stretch"), expected)
    np.testing.assert_array_equal(decode.fit(rainbow(32, 32), 32, "stretch"), rainbow(32, 32))


def test_right_size_is_untouched_and_shorter_side_alone_is_only_cropped():
    pixels = rainbow(8, 8)
    np.testing.assert_array_equal(decode.fit(pixels, 8), pixels)
    wide = rainbow(8, 14)
    np.testing.assert_array_equal(decode.fit(wide, 8), wide[:, 3:11])


def test_broken_files_are_named(tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(rainbow(64, 64)).save(good)
    data = good.read_bytes()
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    bomb = data[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + data[-12:]
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 255
    cases = {
        "truncated.png": data[: len(data) // 2],
        "empty.png": b"",
        "text.png": b"<html>not found</html>",
        "flipped.png": bytes(flipped),
        "bomb.png": bomb,
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            decode.read(tmp_path / name, 8)
    with pytest.raises(InputError, match=r"cannot use image .*text\.png: it is a web page"):
        decode.read(tmp_path / "text.png", 8)
    with pytest.raises(InputError, match=r"bomb\.png.*DecompressionBombError"):
        decode.read(tmp_path / "bomb.png", 8)
    with pytest.raises(InputError, match=r"missing\.png"):
        decode.read(tmp_path / "missing.png", 8)


def test_float_pixels_and_ribbons_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(InputError, match=r"x\.tiff: floating-point pixels"):
        decode.read(tmp_path / "x.tiff", 4)
    with pytest.raises(InputError, match="too elongated"):
        decode.fit(np.zeros((1, 60000, 3), np.uint8), 224)


def test_blocks_name_the_first_bad_image_and_report_progress():
    def image(i):
        if i in (1500, 1700):
            raise OSError("broken")
        return np.full((4, 4, 3), i % 256, np.uint8)

    names, seen = [f"n{i}" for i in range(2000)], []
    fine = np.arange(1100)
    blocks = list(decode.blocks(image, names, fine, 4, lambda *x: seen.append(x)))
    assert np.concatenate(blocks)[:, 0, 0, 0].tolist() == [i % 256 for i in fine]
    assert seen == [(1024, 1100), (1100, 1100)]
    with pytest.raises(InputError, match=r"n1500 \(OSError: broken\)"):
        list(decode.blocks(image, names, np.arange(2000), 4))


def test_what_is_no_file_is_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png"):
        with pytest.raises(InputError, match=f"{name}: it is no file"):
            decode.read(tmp_path / name, 8)
    with pytest.raises(InputError, match="it is no file"):
        decode.read("/dev/zero", 8)


def test_an_image_that_never_comes(monkeypatch):
    monkeypatch.setattr(patience, "SECONDS", 1)
    over = threading.Event()

    def image(i):
        if i == 2:
            over.wait(60)
        return rainbow(8, 8)

    with pytest.raises(NoAnswer, match="image c has not been read for 1 s"):
        list(decode.blocks(image, "abcd", np.arange(4), 8))
    over.set()
