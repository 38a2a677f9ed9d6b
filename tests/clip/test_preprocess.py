"""Pixels against recorded official pipelines, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL
import pytest
from PIL import Image

from adapt_jax.clip.preprocess import VARIANTS, normalize, pixels_uint8, preprocess
from adapt_jax.core.errors import InputError
from adapt_jax.data import decode

PIPELINES = {
    "clip_bicubic32": {"variant": "openai"},
    "neglabel_bilinear32": {"variant": "neglabel"},
    "openood_bicubic36_crop32": {"variant": "openai", "resize": 36},
}


@pytest.mark.parametrize("name", PIPELINES)
def test_recorded_images(golden, name):
    data = golden("image_preprocess")
    for k in range(5):
        ours = preprocess(data[f"img{k}_uint8"], 32, **PIPELINES[name])
        theirs = data[f"img{k}_{name}_chw"].transpose(1, 2, 0)
        # Pillow 13, which made the recordings, resizes some shapes (here 81 x 33, img1) differently
        # from Pillow 12: by up to 3 grey levels, 0.044 after normalisation.
        exact = int(PIL.__version__.split(".")[0]) >= 13 or k != 1
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=0 if exact else 0.05)
        assert ours.dtype == np.float32


def test_normalisation_on_the_device_agrees(golden):
    pixels = np.stack([pixels_uint8(golden("image_preprocess")["img0_uint8"], 16)] * 2)
    ours = jax.jit(normalize)(pixels)
    assert isinstance(normalize(pixels), np.ndarray)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, normalize(pixels), rtol=0, atol=1e-6)
    black_white = normalize(np.array([[0] * 3, [255] * 3], np.uint8), (0.5,) * 3, (0.25,) * 3)
    assert black_white.tolist() == [[-2.0] * 3, [2.0] * 3]


def test_normalisation_refuses_unknown_scales():
    with pytest.raises(InputError, match="float32"):
        normalize(np.zeros((2, 2, 3), np.float32))
    with pytest.raises(InputError, match="channels last"):
        normalize(np.zeros((3, 8, 8), np.uint8))


def columns(width):
    """An image 4 rows high whose grey level is the column."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8), (4, width))


@pytest.mark.parametrize(("width", "openai", "huggingface"), [(5, 0, 0), (7, 2, 1), (9, 2, 2)])
def test_crop_offsets(width, openai, huggingface):
    assert pixels_uint8(columns(width), 4)[0, 0, 0] == openai
    assert pixels_uint8(columns(width), 4, "huggingface")[0, 0, 0] == huggingface


def test_squash_keeps_the_edges():
    assert pixels_uint8(columns(64), 4, "squash")[0, :, 0].tolist() == pytest.approx(
        [7.5, 23.5, 39.5, 55.5], abs=1
    )


def test_colours_are_converted_when_the_program_does():
    """Pillow cannot mix palette indices, so OpenAI's order means nearest neighbour there."""
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 255
    palette = Image.fromarray(stripes).convert("P")
    late, early = (pixels_uint8(palette, 3, v) for v in ("openai", "huggingface"))
    assert set(np.unique(late)) <= {0, 255}
    assert not set(np.unique(early)) <= {0, 255}


@pytest.mark.filterwarnings("ignore:some 16-bit images")
def test_depth_and_orientation_are_those_of_every_other_image(tmp_path):
    """What `data.decode` makes of a file, in another cut; square files need none."""
    levels = np.random.default_rng(0).integers(0, 4096, (8, 8), np.uint16)
    Image.fromarray(levels).save(tmp_path / "x.png")
    ours = pixels_uint8(Image.open(tmp_path / "x.png"), 8)
    np.testing.assert_array_equal(ours, decode.read(tmp_path / "x.png", 8))
    exif = Image.Exif()
    exif[0x0112] = 8
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    colours.save(tmp_path / "y.png", exif=exif)
    for variant in VARIANTS:
        ours = pixels_uint8(Image.open(tmp_path / "y.png"), 8, variant)
        np.testing.assert_array_equal(ours, np.rot90(np.asarray(colours)))
        np.testing.assert_array_equal(ours, decode.read(tmp_path / "y.png", 8))


def test_bad_input_is_explained():
    grey = columns(6)
    for image, kwargs, message in [
        (grey, {"variant": "clip"}, "known: openai"),
        (grey, {"resize": 3}, "resize=3"),
        (grey.astype(np.float32), {}, "float32"),
        (grey[None, None], {}, "H, W"),
        (np.zeros((3, 8, 8), np.uint8), {}, "H, W, 3"),
        (np.zeros((0, 8, 3), np.uint8), {}, "empty"),
        (Image.fromarray(grey.astype(np.float32)), {}, "8 bits"),
        (Image.new("L", (100_000_000, 1)), {}, "elongated"),
    ]:
        with pytest.raises(InputError, match=message):
            pixels_uint8(image, 4, **kwargs)
