"""The pixels of the augmentation, against the same parameters applied by PIL."""

import functools

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from adapt_jax.data import augment
from adapt_jax.data.augment import boxes, jitter, resample
from adapt_jax.data.augment.device import ORDERS, Draws

DEFAULTS = {
    "crop_scale": (0.2, 1.0),
    "crop_ratio": (3 / 4, 4 / 3),
    "flip": 0.5,
    "jitter_probability": 0.8,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "grayscale": 0.2,
}


def smooth(count, height, width, seed=0):
    """Images with the statistics of photos rather than of noise."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)
    size = (width, height)
    return np.stack([np.asarray(Image.fromarray(s).resize(size, Image.BICUBIC)) for s in small])


def pil_hue(image, shift):
    hue, saturation, value = image.convert("HSV").split()
    turned = (np.asarray(hue).astype(int) + int(shift)) % 256
    turned = Image.fromarray(turned.astype(np.uint8))
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def pil_view(pixels, draw, size):
    """What torchvision's PIL path does with these parameters."""
    top, left, height, width = (int(x) for x in draw.box)
    image = Image.fromarray(pixels).crop((left, top, left + width, top + height))
    image = image.resize((size, size), Image.BILINEAR)
    if draw.flip:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    if draw.jitter:
        enhancers = ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color
        for kind in draw.order:
            if kind == jitter.HUE:
                image = pil_hue(image, draw.hue)
            else:
                image = enhancers[kind](image).enhance(float(draw.factors[kind]))
    return np.asarray(image.convert("L").convert("RGB") if draw.grey else image)


@functools.cache
def apply(size, geometry_only=False):
    return jax.jit(augment.make_apply(size, jitters=not geometry_only, greys=not geometry_only))


def draw(images, views=2, **changes):
    """As `augment.make_draw` draws, on the host, where no program is compiled."""
    chosen = {**DEFAULTS, **changes}
    rng, shape = np.random.default_rng(0), (len(images), views)
    strength = np.array([chosen[name] for name in ("brightness", "contrast", "saturation")])
    return Draws(
        box=boxes.draw(
            rng.random((*shape, boxes.TRIES, 4)), *images.shape[1:3],
            chosen["crop_scale"], chosen["crop_ratio"],
        ).astype(np.int32),
        flip=rng.random(shape) < chosen["flip"],
        jitter=rng.random(shape) < chosen["jitter_probability"],
        factors=np.float32(rng.uniform(np.maximum(1 - strength, 0), 1 + strength, (*shape, 3))),
        hue=np.float32(np.trunc(255 * chosen["hue"] * rng.uniform(-1, 1, shape))),
        order=ORDERS[rng.integers(0, len(ORDERS), shape)],
        grey=rng.random(shape) < chosen["grayscale"],
    )  # fmt: skip


def differences(images, size, views=2, geometry_only=False, **changes):
    if geometry_only:
        changes = {"jitter_probability": 0.0, "grayscale": 0.0}
    draws = draw(images, views, **changes)
    ours = np.asarray(apply(size, geometry_only)(images, draws)).astype(int)
    reference = np.stack(
        [
            [pil_view(x, jax.tree.map(lambda a: a[b, v], draws), size) for v in range(views)]  # noqa: B023
            for b, x in enumerate(images)
        ]
    )
    assert ours.shape == (len(images), views, size, size, 3)
    return ours - reference


def test_everything_equals_pil_up_to_rare_roundings():
    d = differences(smooth(400, 32, 32), 32)
    assert np.abs(d).mean() < 0.02
    assert abs(d.mean()) < 0.005
    # One step of an 8-bit hue or contrast mean, rounded the other way, moves whole images.
    assert np.quantile(np.abs(d), 0.999) <= 2
    assert np.abs(d).max() < 24


@pytest.mark.parametrize(
    ("source", "size"), [((32, 32), 32), ((48, 40), 24), ((20, 36), 32), ((8, 8), 8), ((7, 50), 16)]
)
def test_crop_and_flip_equal_pil(source, size):
    """Up- and downsampling, both ways at once, sources that are not square."""
    d = differences(smooth(100, *source), size, geometry_only=True)
    # Ties: which way they round depends on the order of the two passes, which Pillow 13 changed,
    # and of sums, which compilers choose. Two on the way to one pixel are rare.
    assert np.abs(d).max() <= 2
    assert (np.abs(d) > 1).mean() < 1e-5
    assert (d != 0).mean() < 0.05
    assert abs(d.mean()) < 0.01


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_each_operation_equals_pil(name):
    off = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    changes = {**off, name: 0.5, "jitter_probability": 1.0, "grayscale": 0.0}
    d = differences(smooth(60, 16, 16), 16, crop_scale=(1.0, 1.0), flip=0.0, **changes)
    assert np.abs(d).mean() < 0.02
    assert (np.abs(d) > 1).mean() < 2e-3


def test_luma_is_pils_for_every_corner_of_the_cube():
    levels = np.r_[np.arange(0, 256, 15), 1, 2, 127, 128, 254]
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3).astype(np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(np.asarray(jax.jit(jitter.luma)(colours))[..., 0], expected)


def test_orders_differ_and_are_obeyed():
    """Brightness then contrast is not contrast then brightness."""
    image = smooth(1, 8, 8)[0]
    factors, still = np.float32([0.5, 1.5, 1.0]), np.float32(0)
    out = []
    for order in ((0, 1, 2, 3), (1, 0, 2, 3)):
        ours = jax.jit(jitter.jitter)(image, factors, still, np.int32(order))
        pil = Image.fromarray(image)
        for kind in order[:2]:
            kinds = ImageEnhance.Brightness, ImageEnhance.Contrast
            pil = kinds[kind](pil).enhance(float(factors[kind]))
        assert np.abs(np.asarray(ours).astype(int) - np.asarray(pil_hue(pil, 0))).max() <= 1
        out.append(np.asarray(ours).astype(int))
    assert np.abs(out[0] - out[1]).max() > 5


def test_constant_images_stay_constant():
    levels = np.array([0, 1, 127, 128, 254, 255] * 10, np.uint8)
    images = np.tile(levels[:, None, None, None], (1, 16, 16, 3))
    out = apply(16)(images, draw(images, brightness=0.0))
    np.testing.assert_array_equal(out, np.broadcast_to(images[:, None], out.shape))


def test_weights_sum_to_one_inside_the_crop_only():
    weights = jax.jit(resample.weights, static_argnums=(2, 3))
    w = np.asarray(weights(3, 5, 8, 32, False))
    np.testing.assert_allclose(w.sum(axis=1), 1.0, atol=1e-6)
    assert np.abs(w[:, :3]).sum() + np.abs(w[:, 8:]).sum() == 0
    mirrored = weights(3, 5, 8, 32, True)
    np.testing.assert_array_equal(mirrored, w[::-1])


def test_no_pixel_wraps_around():
    """White stays white whatever the rounding of the weights."""
    for source, size in (((20, 36), 32), ((7, 50), 16)):
        images = np.full((100, *source, 3), 255, np.uint8)
        d = differences(images, size, geometry_only=True)
        assert (d == 0).all()
