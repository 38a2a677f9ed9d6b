"""Image files and arrays -> square uint8 RGB: the rules, and the threads that apply them.

1. RGB as PIL's `convert("RGB")`, as OpenOOD does: grey is repeated, palettes are looked up, an
   alpha channel is dropped (not composited), CMYK is converted.
2. Formats, depth and orientation as in `core/image_files.py`: 16-bit grey is scaled to 8 bits, EXIF
   orientation is applied (suites ignore it, as OpenOOD does), floating-point pixels are refused. Of
   an animation or a stack of pages, the first picture.
3. An S x S image is left as it is. Otherwise the shorter side becomes S (PIL bilinear, antialiased,
   8-bit rounding) and the middle S x S is cut out, with torchvision's roundings: longer side
   int(S * long / short), offset round((length - S) / 2) with ties to even.
4. With `resize=R` the shorter side of every image, an S x S one too, becomes R before the cut
   (torchvision's Resize(R), CenterCrop(S)); with `resize="stretch"` both sides become S, whatever
   the shape (Resize((S, S))).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import PIL
from PIL import Image

from adapt_jax.core import patience
from adapt_jax.core.errors import InputError
from adapt_jax.core.image_files import opened, standard

# Part of every cache key. The number goes up when a rule above changes; and Pillow 13, for one,
# resizes some shapes differently from Pillow 12, by one grey level.
RULES = f"2 pillow {PIL.__version__}"
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
    + (".ppm", ".pgm", ".pbm", ".pnm", ".avif")
)
BLOCK_BYTES = 64 << 20


def read(path: str | os.PathLike, size: int, resize: int | str | None = None) -> np.ndarray:
    """One image file as (size, size, 3) uint8; `resize` as in `fit`.

    Raises:
      InputError: the file is missing, not an image, truncated, or too large; it is named.
    """
    return made(opened, path, str(path), partial(fit, size=size, resize=resize))


def fit(image: Image.Image | np.ndarray, size: int, resize: int | str | None = None) -> np.ndarray:
    """A PIL image or (H, W, 3) uint8 array of any size -> (size, size, 3) uint8, by the rules.

    resize: the shorter side before the cut, at least `size`; "stretch"; or None for rule 3.
    """
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else standard(image)
    image = to_rgb(image)
    if isinstance(resize, str):  # "stretch"
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    elif resize is not None or image.size != (size, size):
        image = _scale(image, resize or size)
        left, top = (round((length - size) / 2) for length in image.size)
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image)


def _scale(image: Image.Image, short: int) -> Image.Image:
    """The shorter side becomes `short`."""
    width, height = image.size
    long = int(short * max(width, height) / min(width, height))
    if Image.MAX_IMAGE_PIXELS and long * short > Image.MAX_IMAGE_PIXELS:
        raise InputError(f"{width} x {height} is too elongated to be scaled to {short}")
    size = (short, long) if width <= height else (long, short)
    return image.resize(size, Image.Resampling.BILINEAR)


def to_rgb(image: Image.Image) -> Image.Image:
    """Rule 1, after rule 2."""
    if image.mode == "RGB":
        return image
    image.info.pop("transparency", None)  # PIL would warn that converting to RGB loses it
    return image.convert("RGB")


def blocks(
    image: Callable,
    names: Sequence[str],
    indices: np.ndarray,
    size: int,
    progress: Callable[[int, int], None] | None = None,
    resize: int | str | None = None,
    transform: Callable | None = None,
) -> Iterator[np.ndarray]:
    """Decodes images `indices` in all cores and yields them in order as (n, size, size, 3) uint8.

    The cores work on the next block while the caller uses one.

    Args:
      image: function that opens image i, as in `Listing`.
      names: names of the images, for error messages.
      indices: indices of the images to decode, in order.
      size: height and width of the squares.
      progress: function called as progress(done, total).
      resize: length of the shorter side, as in `fit`.
      transform: function from an opened image to (size, size, 3) uint8, used instead of `fit`.

    Raises:
      InputError: the first image, in order, that cannot be read; it is named.
      NoAnswer: an image was not read in time; it is named.
    """
    transform = transform or partial(fit, size=size, resize=resize)
    step = max(1, min(1024, BLOCK_BYTES // (size * size * 3)))
    pool = ThreadPoolExecutor(os.cpu_count())

    def begin(start: int) -> list[Future[np.ndarray]]:
        return [pool.submit(made, image, i, names[i], transform) for i in indices[start:][:step]]

    try:
        coming = begin(0)
        for start in range(0, len(indices), step):
            squares, coming = coming, begin(start + step)
            block = np.empty((len(indices[start:][:step]), size, size, 3), np.uint8)
            for row, square in enumerate(squares):
                name = names[indices[start + row]]
                block[row] = patience.wait(square, f"image {name}".__str__)
            if progress is not None:
                progress(start + len(block), len(indices))
            yield block
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def made(image: Callable, index, name: str, transform: Callable) -> np.ndarray:
    """`transform` of one opened image.

    Raises:
      InputError: it cannot be read or used; it is named.
    """
    try:
        picture = image(index)
        if isinstance(picture, np.ndarray):
            return transform(picture)
        with picture:
            return transform(picture)
    except InputError as error:
        raise InputError(f"cannot use image {name}: {error}") from error
    except Exception as error:
        # PIL's decoders raise whatever a broken file makes them stumble over: OSError,
        # SyntaxError, struct.error, DecompressionBombError, ...
        raise InputError(
            f"cannot read image {name} ({type(error).__name__}: {error}); replace or remove it, or "
            "leave out such images with ?unreadable=skip"
        ) from error
