"""Preprocessing of images for a CLIP image tower, with exactly the pixels of the official programs.

Pillow does the resizing, on uint8: `jax.image.resize` does not round like it. Batches travel to the
device as uint8 (`pixels_uint8`) and become floats there (`normalize`).

| variant | program | resize | to RGB | crop offset |
| --- | --- | --- | --- | --- |
| openai | openai/CLIP, open_clip; OpenOOD-VLM (ImageNet: resize=256) | bicubic | after | rounded |
| huggingface | transformers, CLIPImageProcessor on Pillow | bicubic | before | rounded down |
| neglabel | XueJiang16/NegLabel, deeplearning-wisc/MCM | bilinear | before | rounded |
| squash | open_clip with resize_mode "squash" | bicubic, aspect ratio lost | after | none |
| bilinear | open_clip with interpolation "bilinear" | bilinear | after | rounded |
| huggingface_bilinear | transformers with resample 2 | bilinear | before | rounded down |
| huggingface_squash | transformers, size of height and width; SigLIP | as squash | before | none |
| huggingface_squash_bilinear | the same with resample 2; SigLIP 2 | bilinear | before | none |
| align | transformers, EfficientNet's: to a square of `resize` | bilinear | before | rounded down |
| align_bicubic | the same with resample 3 | bicubic | before | rounded down |

Depth and orientation are those of `core/image_files.py`: EXIF orientation is applied, which the
official programs ignore. Both crop offsets differ, by one pixel, where (length - size)
mod 4 is 3. The torchvision backend of transformers resizes without Pillow: close to "huggingface",
not equal. Pillow 13 resizes elongated images differently from Pillow 12, by up to 3 grey levels.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from adapt_jax.core.checks import channel_statistics, positive_int
from adapt_jax.core.errors import InputError
from adapt_jax.core.image_files import standard

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Variant(NamedTuple):
    """The points in which the programs differ."""

    filter: Image.Resampling = Image.Resampling.BICUBIC
    rgb_first: bool = False
    floor_crop: bool = False
    squash: bool = False
    stretch: bool = False


VARIANTS = {
    "openai": Variant(),
    "huggingface": Variant(rgb_first=True, floor_crop=True),
    "neglabel": Variant(Image.Resampling.BILINEAR, rgb_first=True),
    "squash": Variant(squash=True),
    "bilinear": Variant(Image.Resampling.BILINEAR),
    "huggingface_bilinear": Variant(Image.Resampling.BILINEAR, rgb_first=True, floor_crop=True),
    "huggingface_squash": Variant(rgb_first=True, squash=True),
    "huggingface_squash_bilinear": Variant(Image.Resampling.BILINEAR, rgb_first=True, squash=True),
    "align": Variant(Image.Resampling.BILINEAR, rgb_first=True, floor_crop=True, stretch=True),
    "align_bicubic": Variant(rgb_first=True, floor_crop=True, stretch=True),
}

Pixels = TypeVar("Pixels", np.ndarray, jax.Array)


def preprocess(
    image: Image.Image | np.ndarray,
    size: int = 224,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    variant: str = "openai",
    resize: int | None = None,
) -> np.ndarray:
    """`normalize(pixels_uint8(image))`: (size, size, 3) float32, exactly the official values."""
    return normalize(pixels_uint8(image, size, variant, resize), mean, std)


def pixels_uint8(
    image: Image.Image | np.ndarray,
    size: int = 224,
    variant: str = "openai",
    resize: int | None = None,
) -> np.ndarray:
    """Resizes and cuts out the middle: (size, size, 3) uint8.

    Args:
      image: a PIL image, or uint8 (H, W) or (H, W, 3).
      size: height and width of the tower's input.
      variant: name of the variant, a key of `VARIANTS`.
      resize: length of the shorter side before the centre crop; by default `size`. A variant that
        squashes images does not crop them.

    Raises:
      InputError: an unknown variant, pixels that `core.image_files.standard` refuses, an array that
        is no image, a `resize` below `size`, or an image too elongated to be scaled.
    """
    if variant not in VARIANTS:
        variants = ", ".join(VARIANTS)
        raise InputError(f"unknown preprocessing variant {variant!r}; known: {variants}")
    rule = VARIANTS[variant]
    resize = size if resize is None else resize
    positive_int(size=size, resize=resize)
    if resize < size:
        raise InputError(f"resize={resize} is smaller than the image size {size} cut out of it")
    image = _as_image(image)
    if rule.rgb_first:
        image = image.convert("RGB")
    if rule.squash:
        image = _resized(image, (size, size), rule.filter)
    else:
        short = min(image.size)
        width, height = (resize if n == short else int(resize * n / short) for n in image.size)
        if rule.stretch:
            width = height = resize
        image = _resized(image, (width, height), rule.filter)
        spare = ((width - size) / 2, (height - size) / 2)
        left, top = (int(s) if rule.floor_crop else round(s) for s in spare)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image.convert("RGB"))


def normalize(pixels: Pixels, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Pixels:
    """(..., 3) uint8 -> float32 `(pixels / 255 - mean) / std`; NumPy stays NumPy, JAX stays JAX.

    Exact in NumPy. On a device the compiler may fuse the operations: a difference of some 1e-7.

    Raises:
      InputError: pixels are not uint8, so that their scale is unknown; or mean or std is not on the
        scale 0..1.
    """
    channel_statistics(mean, std)
    if pixels.dtype != np.uint8 or pixels.shape[-1] != 3:
        raise InputError(
            f"pixels must be uint8 with 3 channels last, got {pixels.dtype} {pixels.shape}"
        )
    xp = np if isinstance(pixels, np.ndarray) else jnp
    shape = (1,) * (pixels.ndim - 1) + (3,)
    shift, scale = (xp.asarray(v, np.float32).reshape(shape) for v in (mean, std))
    return (pixels.astype(np.float32) / np.float32(255) - shift) / scale


def _as_image(image: Image.Image | np.ndarray) -> Image.Image:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or image.ndim < 2:
            raise InputError(
                f"an image array must be uint8 (H, W) or (H, W, 3), got {image.dtype} {image.shape}"
            )
        image = Image.fromarray(image)
    if not min(image.size):
        raise InputError(f"an image of {image.size[0]} x {image.size[1]} pixels is empty")
    return standard(image)


def _resized(image: Image.Image, size: tuple[int, int], resampling) -> Image.Image:
    if image.size == size:
        return image
    if Image.MAX_IMAGE_PIXELS and size[0] * size[1] > Image.MAX_IMAGE_PIXELS:
        raise InputError(f"{image.size[0]} x {image.size[1]} is too elongated to become {size}")
    return image.resize(size, resampling)
