"""Converts images of a library's caller to square uint8 RGB, by the rules of `data.decode`."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.core.image_files import opened, standard
from adapt_jax.data import decode

OneImage: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray
Images: TypeAlias = OneImage | Sequence[OneImage]
CHANNELS = (1, 3, 4)


def blocks(
    images: Images, size: int, cut: Callable[[Image.Image], np.ndarray]
) -> Iterator[np.ndarray]:
    """Reads images in blocks of (n, size, size, 3) uint8, in order, as files are read.

    Args:
      images: one image or several: a path, a PIL image, a uint8 array (H, W) or (H, W, C) of any
        size with C of 1, 3 (RGB) or 4 channels (RGB and alpha, which is dropped); a list of these;
        or a uint8 array (N, H, W, C).
      size: side of the squares.
      cut: an opened image -> (size, size, 3) uint8, such as `data.decode.fit` with a size.

    Raises:
      InputError: there is no image, or one cannot be used; it is named.
    """
    listed_images = listed(images)
    if not listed_images:
        raise InputError("no image given; give paths, PIL images or uint8 arrays")
    names = names_of(listed_images)
    listed_images = [_checked(image, name) for image, name in zip(listed_images, names)]
    every = np.arange(len(listed_images))
    return decode.blocks(lambda i: _opened(listed_images[i]), names, every, size, transform=cut)


def check_squares(images: np.ndarray, size: int) -> None:
    """Refuses what is not ready for a network.

    Args:
      images: images to check, which should be uint8 (N, size, size, 3).
      size: side of the images the network takes.

    Raises:
      InputError: another dtype or shape.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise InputError(
            f"images are {images.dtype} {images.shape}, the network takes uint8 (N, {size}, "
            f"{size}, 3) in 0..255; `embed`, `score` and `decide` cut images to that size"
        )


def listed(images: Images) -> list[Any]:
    """One image or several, as a list."""
    if isinstance(images, (str, os.PathLike, Image.Image)):
        return [images]
    if hasattr(images, "__array__"):
        array = np.asarray(images)
        return list(array) if array.ndim == 4 else [array]
    try:
        return list(images)
    except TypeError:
        return [images]


def names_of(images: Sequence[Any]) -> list[str]:
    """What messages call each image of a list: its path, or its number."""
    return [
        str(x) if isinstance(x, (str, os.PathLike)) else f"number {i}" for i, x in enumerate(images)
    ]


def _checked(image: Any, name: str) -> OneImage:
    """A path as it is, a PIL image decoded, an array that has the right type and shape."""
    if isinstance(image, (str, os.PathLike)):
        return image
    if isinstance(image, Image.Image):  # which stays open: it is the caller's
        kept = contextlib.nullcontext(image)
        return decode.made(lambda _: kept, 0, name, lambda held: standard(held.enter_result))
    if not hasattr(image, "__array__"):
        raise InputError(
            f"image {name} is of type {type(image).__name__}; give a path, a PIL image or a uint8 "
            "array"
        )
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise InputError(
            f"image {name} is an array of {array.dtype}; give uint8 values in 0..255, for example "
            "np.round(255 * image).astype(np.uint8) of one in 0..1"
        )
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS):
        return array
    first = array.ndim == 3 and array.shape[0] in CHANNELS
    hint = "move the channels last with np.moveaxis(image, 0, -1)" if first else "check its axes"
    raise InputError(
        f"image {name} is an array of shape {array.shape}, not (H, W) or (H, W, C) with C of 1, 3 "
        f"or 4 channels; {hint}"
    )


def _opened(image: OneImage) -> Image.Image | np.ndarray:
    """An image that reading may change and close."""
    if isinstance(image, (str, os.PathLike)):
        return opened(image)
    if isinstance(image, Image.Image):
        return image.copy()
    return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
