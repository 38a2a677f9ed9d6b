"""Images from Python are cut as files are, to the bit, and what is none is refused."""

import contextlib
import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import decode, given

SIZE = 8


def read(images, resize=None):
    return np.concatenate(
        list(given.blocks(images, SIZE, partial(decode.fit, size=SIZE, resize=resize)))
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images of many kinds: colour, grey, with alpha, a palette, 16 bits, turned by EXIF."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, shape in (("colour", (9, 14, 3)), ("grey", (8, 8)), ("alpha", (20, 11, 4))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f"{name}.png")
    palette = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).quantize(16)
    palette.save(folder / "palette.png", transparency=3)
    Image.fromarray(rng.integers(0, 60000, (12, 12), np.uint16)).save(folder / "deep.png")
    turned = Image.Exif()
    turned[274] = 6
    colour = Image.open(folder / "colour.png")
    colour.save(folder / "turned.jpg", exif=turned)
    frames = [palette, palette.transpose(Image.Transpose.ROTATE_90)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    return sorted(folder.iterdir())


@pytest.mark.parametrize("resize", [None, 10, "stretch"])
def test_paths_and_pil_images_are_cut_as_files_are(files, resize):
    expected = [decode.read(path, SIZE, resize) for path in files]
    np.testing.assert_array_equal(read(files, resize), expected)
    np.testing.assert_array_equal(read([str(p) for p in files], resize), expected)
    with contextlib.ExitStack() as held:
        images = [held.enter_context(Image.open(p)) for p in files]
        np.testing.assert_array_equal(read(images, resize), expected)


def test_images_stay_the_callers(files):
    with contextlib.ExitStack() as held:
        images = [held.enter_context(Image.open(p)) for p in files]
        palette = next(image for image in images if image.filename.endswith("palette.png"))
        once = read([*images, *images])
        np.testing.assert_array_equal(read(images[:2]), once[: len(images)][:2])
        assert palette.info["transparency"] == 3
        next(image for image in images if image.format == "GIF").seek(1)


def test_arrays_are_cut_as_files_of_these_pixels(tmp_path):
    rng = np.random.default_rng(1)
    for shape in ((9, 14, 3), (9, 14), (9, 14, 1), (14, 9, 4), (SIZE, SIZE, 3)):
        pixels = rng.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels).save(tmp_path / "a.png")
        for given_so in (pixels, [pixels], pixels[None] if pixels.ndim == 3 else pixels):
            np.testing.assert_array_equal(read(given_so)[0], decode.read(tmp_path / "a.png", SIZE))
    batch = rng.integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(read(batch), batch)
    path = tmp_path / "a.png"
    np.testing.assert_array_equal(read(path), read(str(path)))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "no image given"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no image given"),
        (np.zeros((8, 8, 3)), "image number 0 is an array of float64; give uint8"),
        (np.zeros((2, 8, 8, 3), np.float32), "image number 0 is an array of float32"),
        (np.zeros((3, 8, 8), np.uint8), "move the channels last"),
        ([np.zeros((8, 8), np.uint8), np.zeros((8, 8, 2), np.uint8)], "number 1 .* check its axes"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"number 0 is an array of shape \(3, 8, 8\)"),
        (np.zeros(8, np.uint8), r"shape \(8,\)"),
        ([b"bytes"], "number 0 is of type bytes"),
        (7, "number 0 is of type int"),
        (["no/such.png"], "cannot read image no/such.png"),
        ([Image.new("F", (8, 8))], "image number 0: floating-point pixels"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(images, words):
    with pytest.raises(InputError, match=words):
        read(images)


def test_a_truncated_image_is_named():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(
        buffer, "PNG"
    )
    half = Image.open(io.BytesIO(buffer.getvalue()[:5000]))
    with pytest.raises(InputError, match="cannot read image number 0"):
        read([half])


def test_squares_that_are_not_ready_are_refused():
    given.check_squares(np.zeros((2, 8, 8, 3), np.uint8), 8)
    for wrong in (np.zeros((2, 8, 8, 3)), np.zeros((2, 9, 9, 3), np.uint8), np.zeros((8, 8, 3))):
        with pytest.raises(InputError, match=r"the network takes uint8 \(N, 8, 8, 3\)"):
            given.check_squares(wrong, 8)
