"""Real images that come with scikit-learn: its digits, and patches of its two photos.

What `make demo` and the tests use where nothing can be downloaded.
"""

import functools

import numpy as np
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data.base import Listing, Source

PLACES = {"digits": ("", "train", "test"), "photos": ("", "colour", "grey")}
PATCHES_PER_PHOTO = 400


def check_digits(source: Source) -> None:
    """Nothing to check: scikit-learn is a dependency."""


def check_photos(source: Source) -> None:
    """Nothing to check: scikit-learn is a dependency."""


def open_digits(source: Source, image_size: int, cache_dir=None) -> Listing:
    """1,797 handwritten digits, 8 x 8, grey, ten classes (the test part of UCI optdigits).

    `digits:test` is every third image of each class, `digits:train` the others. The 13 writers
    occur on both sides.
    """
    grey, labels = _digits()
    one_hot = labels[:, None] == np.arange(10)
    rank = (np.cumsum(one_hot, axis=0) * one_hot).sum(axis=1) - 1  # k-th image of its class
    keep = {"": rank >= 0, "train": rank % 3 != 2, "test": rank % 3 == 2}[source.place]
    pixels = np.repeat(grey[keep, :, :, None], 3, axis=3)
    names = tuple(f"digits[{i}]" for i in np.flatnonzero(keep))
    return Listing(names, labels[keep], tuple("0123456789"), pixels.__getitem__, pixels=pixels)


@functools.cache  # a run opens several parts of one text file
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """All images (1797, 8, 8) uint8 and their labels (1797,) int32."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.rint(data.images * (255 / 16)).astype(np.uint8)  # 0..16 -> 0..255
    return grey, data.target.astype(np.int32)


def open_photos(source: Source, image_size: int, cache_dir=None) -> Listing:
    """800 patches of image_size x image_size cut unscaled, at fixed random places, from two photos.

    `photos:grey` is the same patches in grey: colour alone then does not tell them from digits.
    The photo is the label. Names say photo, top and left.
    """
    from sklearn.datasets import load_sample_images

    names, patches, labels = [], [], []
    for label, (title, photo) in enumerate(
        zip(("china", "flower"), load_sample_images().images, strict=True)
    ):
        rows, columns = (length - image_size + 1 for length in photo.shape[:2])
        if rows < 1:
            raise InputError(
                f"{source.text!r} has patches of at most {min(photo.shape[:2])} pixels, "
                f"image_size is {image_size}"
            )
        if source.place == "grey":
            grey = np.asarray(Image.fromarray(photo).convert("L"))
            photo = np.repeat(grey[:, :, None], 3, axis=2)
        rng = np.random.default_rng(label)
        count = min(PATCHES_PER_PHOTO, rows * columns)
        for corner in rng.choice(rows * columns, count, replace=False):
            top, left = divmod(int(corner), columns)
            patches.append(photo[top : top + image_size, left : left + image_size])
            names.append(f"photos/{title}[{top},{left}]")
            labels.append(label)
    pixels = np.stack(patches)
    return Listing(
        tuple(names),
        np.array(labels, np.int32),
        ("china", "flower"),
        pixels.__getitem__,
        pixels=pixels,
    )
