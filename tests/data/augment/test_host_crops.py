"""The host's crops, against Pillow with the same box and torchvision's way of drawing one."""

import io
import math

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from adapt_jax.data import decode
from adapt_jax.data.augment import boxes, host_crops

SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)


def cutter(size=32, views=2, **changes):
    return host_crops.Crops(
        **{"size": size, "views": views, "scale": SCALE, "key": (7, 9)} | changes
    )


def photo(width, height):
    return Image.fromarray(load_sample_images().images[0]).resize((width, height))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_hand(image, box, size):
    top, left, tall, wide = (int(x) for x in box)
    part = image.crop((left, top, left + wide, top + tall))
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("L", "JPEG"), ("P", "PNG")])
def test_crops_have_the_pixels_of_pillow(mode, kind):
    """75 x 50 images: nothing is decoded at a reduced size, whatever the box."""
    data, cut = encoded(photo(75, 50).convert(mode), kind), cutter()
    found = cut.cut(decode.opened(data), 3, 5)
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    for view, box in zip(found, cut.boxes(3, 5, 50, 75), strict=True):
        np.testing.assert_array_equal(view, by_hand(whole, box, 32))
    np.testing.assert_array_equal(cut.cut(np.asarray(whole), 3, 5), found)


@pytest.mark.parametrize(("size", "shrink"), [(40, 4), (15, 8)])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(size, shrink):
    data = encoded(photo(1003, 701), "JPEG", quality=95)
    cut, image = cutter(size, scale=(0.5, 1.0)), Image.open(io.BytesIO(data))
    found = cut.cut(image, 0, 1).astype(int)
    assert image.size == (-(-1003 // shrink), -(-701 // shrink))
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    for view, box in zip(found, cut.boxes(0, 1, 701, 1003), strict=True):
        difference = np.abs(view - by_hand(whole, box, size))
        assert difference.mean() < 1.0
        assert np.quantile(difference, 0.99) < 6


@pytest.mark.parametrize(("size", "shrink"), [(40, 4), (200, 1)])
def test_a_turned_photograph_is_cut_upright(size, shrink):
    """At a reduced size, and at the full one to the bit."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo(1000, 700), "JPEG", quality=95, exif=exif)
    cut, image = cutter(size, scale=(0.5, 1.0)), Image.open(io.BytesIO(data))
    found = cut.cut(image, 0, 1).astype(int)
    assert image.size == (1000 // shrink, 700 // shrink)
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    for view, box in zip(found, cut.boxes(0, 1, 1000, 700), strict=True):
        difference = np.abs(view - by_hand(whole, box, size))
        assert difference.mean() < (1.0 if shrink > 1 else 1e-9)


def test_host_and_device_take_the_same_boxes_for_the_same_numbers():
    u = np.random.default_rng(0).random((500, boxes.TRIES, 4)).astype(np.float32)
    for height, width in ((60, 80), (33, 200)):  # the second falls back to the centre at times
        host = boxes.draw(u, height, width, SCALE, RATIO)
        device = boxes.draw(jnp.asarray(u), height, width, SCALE, RATIO, jnp)
        assert (np.abs(host - device) <= 1).all()  # exp and sqrt differ in the last bit
        assert (host == device).mean() > 0.999


def test_boxes_are_distributed_as_torchvisions():
    """Against its loop, written down plainly: moments of area, shape and place."""
    height, width, count = 375, 500, 4000
    cut = cutter(views=4)
    found = np.concatenate([cut.boxes(s, s + 1, height, width) for s in range(count // 4)])
    rng, plain = np.random.default_rng(1), []
    while len(plain) < count:
        area = height * width * rng.uniform(*SCALE)
        aspect = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if wide <= width and tall <= height:
            corner = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
            plain.append((*corner, tall, wide))

    def moments(b):
        top, left, tall, wide = np.asarray(b, float).T
        rows = [tall * wide / (height * width), np.log(wide / tall), top / height, left / width]
        return np.array([[x.mean(), x.std()] for x in rows])

    np.testing.assert_allclose(moments(found), moments(plain), atol=0.012)
    top, left, tall, wide = found.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()


def test_boxes_follow_from_key_step_and_image_alone():
    cut = cutter()
    first = cut.boxes(4, 2, 300, 400)
    np.testing.assert_array_equal(first, cutter().boxes(4, 2, 300, 400))
    assert (first[0] != first[1]).any()
    for other in (cut.boxes(5, 2, 300, 400), cut.boxes(4, 3, 300, 400)):
        assert (other != first).any()
    assert (cutter(key=(7, 8)).boxes(4, 2, 300, 400) != first).any()
