"""What files say about preparing images: mapped, checked by pixels, or refused by name."""

import numpy as np
import pytest
from PIL import Image

from adapt_jax import clip
from adapt_jax.clip.weights import preprocess_files
from adapt_jax.core.errors import InputError

SIZE = 32
SQUARE = {"height": SIZE, "width": SIZE}
USUAL = {
    "image_processor_type": "CLIPImageProcessor", "do_resize": True,
    "size": {"shortest_edge": SIZE}, "resample": 3, "do_center_crop": True, "crop_size": SQUARE,
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
    "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "do_convert_rgb": True,
}  # fmt: skip
RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (60, 91, 3), np.uint8))


def transformers(fields):
    """CLIPImageProcessor on Pillow, written down plainly: what its fields do, one after the other.

    Recorded from it: tests/golden/image_preprocess.npz, hf_clip_tiny_io.npz.
    """
    image, size = PHOTO, fields["size"]
    size = size if isinstance(size, dict) else {"shortest_edge": size}
    if edge := size.get("shortest_edge"):
        short = min(image.size)
        wanted = tuple(edge if n == short else int(edge * n / short) for n in image.size)
    else:
        wanted = (size["width"], size["height"])
    pixels = np.asarray(image.resize(wanted, Image.Resampling(fields["resample"])))
    if fields["do_center_crop"]:
        top, left = ((n - SIZE) // 2 for n in pixels.shape[:2])
        pixels = pixels[top : top + SIZE, left : left + SIZE]
    pixels = pixels.astype(np.float64)
    if fields["do_rescale"]:
        pixels = pixels * fields["rescale_factor"]
    if fields["do_normalize"]:
        pixels = (pixels - fields["image_mean"]) / fields["image_std"]
    return pixels


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"size": SIZE, "crop_size": SIZE},
        {"size": SQUARE, "do_center_crop": False},
        {"size": SQUARE},
        {"resample": 2},
        {"size": SQUARE, "resample": 2},
        {"size": {"shortest_edge": SIZE * 8 // 7}},
        {"do_normalize": False},
        {"rescale_factor": 1 / 127.5, "do_normalize": False},
        {"do_rescale": False, "image_mean": [123.0, 117.0, 104.0], "image_std": [68.0, 66.0, 70.0]},
        {"do_rescale": False, "do_normalize": False},
    ],
)
def test_every_field_of_hugging_face_has_its_effect(change):
    fields = USUAL | change
    found = preprocess_files.huggingface(fields, SIZE)
    ours = clip.preprocess(
        PHOTO, SIZE, found.mean, found.std, found.preprocessing, found.resize or SIZE
    )
    theirs = transformers(fields)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"do_resize": False}, "do_resize"),
        ({"size": {"shortest_edge": 16}}, "size"),
        ({"size": {"height": 32, "width": 48}}, "size"),
        ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "size"),
        ({"resample": 0}, "resample"),
        ({"do_center_crop": False}, "do_center_crop"),
        ({"crop_size": {"height": 28, "width": 28}}, "crop_size"),
        ({"crop_size": {"height": 32, "width": 28}}, "crop_size"),
        ({"rescale_factor": 0}, "rescale_factor"),
        ({"image_processor_type": "SiglipImageProcessor"}, "image_processor_type"),
        ({"do_pad": True}, "do_pad"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(change, name):
    with pytest.raises(InputError, match=rf"preprocessor_config\.json: {name} = "):
        preprocess_files.huggingface(USUAL | change, SIZE)


def test_defaults_and_fields_without_effect():
    plain = preprocess_files.huggingface({}, SIZE)
    assert plain == (clip.RELEASED["RN50"].mean, clip.RELEASED["RN50"].std, "huggingface", 0)
    more = {"processor_class": "CLIPProcessor", "do_pad": False, "image_mean": None}
    assert preprocess_files.huggingface(more, SIZE) == plain
    siglip = preprocess_files.huggingface({}, SIZE, preprocess_files.SIGLIP)
    assert siglip == ((0.5,) * 3, (0.5,) * 3, "huggingface_squash", 0)
    with pytest.raises(InputError, match="do_center_crop = False"):
        preprocess_files.huggingface({"size": SIZE}, SIZE, preprocess_files.SIGLIP)


@pytest.mark.parametrize(
    ("change", "variant"),
    [
        ({}, "openai"),
        ({"size": [SIZE, SIZE], "mode": "RGB", "fill_color": 0}, "openai"),
        ({"interpolation": "bilinear"}, "bilinear"),
        ({"resize_mode": "squash"}, "squash"),
    ],
)
def test_open_clip(change, variant):
    found = preprocess_files.open_clip({"mean": [0.5] * 3} | change, SIZE)
    assert (found.preprocessing, found.resize, found.mean) == (variant, 0, (0.5,) * 3)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"size": 48}, "size"),
        ({"size": [32, 48]}, "size"),
        ({"mode": "L"}, "mode"),
        ({"interpolation": "random"}, "interpolation"),
        ({"resize_mode": "longest"}, "resize_mode"),
        ({"resize_mode": "squash", "interpolation": "bilinear"}, "resize_mode"),
    ],
)
def test_open_clip_refuses_by_name(change, name):
    with pytest.raises(InputError, match=f"preprocess_cfg: {name} = "):
        preprocess_files.open_clip(change, SIZE)


@pytest.mark.parametrize(
    "variant",
    ["huggingface", "huggingface_bilinear", "huggingface_squash", "huggingface_squash_bilinear"],
)
def test_writing_is_the_inverse(variant):
    tower = clip.VisionTransformer(
        image_size=SIZE, patch_size=8, width=8, layers=1, heads=1, mlp_width=8
    )
    resize = 0 if "squash" in variant else 36
    text = clip.RELEASED["RN50"].text
    made = clip.Architecture(
        embed_dim=8, vision=tower, text=text, preprocessing=variant, resize=resize
    )
    found = preprocess_files.huggingface(preprocess_files.write_huggingface(made), SIZE)
    assert found == (made.mean, made.std, variant, resize)
