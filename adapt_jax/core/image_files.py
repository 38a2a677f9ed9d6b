"""Image files as the whole package sees them: which formats are read, how deep, which way up.

1. Only the formats of `FORMATS` are opened, whatever a file is called: Pillow would hand an EPS
   file named cat.jpg to Ghostscript.
2. Pixels become 8 bits per channel. Grey levels of 16-bit files are divided by the largest value of
   the bits in use: as many as the file says (TIFF, PGM), else the fewest of 8, 10, 12 and 16 that
   hold its brightest pixel, because cameras and scanners store 10 or 12 bits in 16. Of 16-bit
   colours Pillow keeps the upper 8 bits; where that leaves nothing, the file is refused.
3. EXIF orientation is applied, so that a photograph is the way up that its viewer sees; images of
   benchmarks go through `as_stored` first, because the official programs ignore it.

`export/score.py` does the same without this package.
"""

import functools
import io
import os
import stat
import warnings

import numpy as np
import PIL
from PIL import ExifTags, Image

from adapt_jax.core import stand_ins
from adapt_jax.core.errors import InputError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
DEPTHS = (8, 10, 12, 16)
_BITS_PER_SAMPLE = 258  # TIFF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def opened(encoded: str | os.PathLike | bytes | np.ndarray) -> Image.Image | np.ndarray:
    """A path or the bytes of a file as a PIL image, not yet decoded; pixels as they are.

    Raises:
      InputError: no file, or no image in one of `FORMATS`; a Git LFS pointer or a web page is
        called that.
      OSError: the file cannot be read.
    """
    if isinstance(encoded, np.ndarray):
        return encoded
    file = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    if file is encoded and not stat.S_ISREG(os.stat(encoded).st_mode):  # a pipe would never end
        raise InputError("it is no file but a folder, a pipe or a device; remove it")
    try:
        return Image.open(file, formats=_formats())
    except PIL.UnidentifiedImageError:
        problem = stand_ins.stand_in(_start(encoded)) or (
            f"is in none of the formats that are read ({', '.join(FORMATS)}), or its first bytes "
            "are damaged; convert it or remove it"
        )
        raise InputError(f"it {problem}") from None


def as_stored(image: Image.Image | np.ndarray) -> Image.Image | np.ndarray:
    """The same image without its EXIF orientation: `standard` leaves it as its pixels lie."""
    if isinstance(image, Image.Image) and _orientation(image) != 1:
        del image.getexif()[ExifTags.Base.Orientation]
    return image


def standard(image: Image.Image) -> Image.Image:
    """The image decoded, upright and with 8 bits per channel, in its own colour mode.

    Args:
      image: a PIL image, best as `opened` returned it, because its file then still says how
        many bits a pixel has.

    Raises:
      InputError: floating-point pixels, integers beyond 16 bits, or 16-bit colours of which next to
        nothing would be left.
    """
    colours = _is_deep_colour(image)
    image.load()
    if colours and 0 < np.asarray(image.convert("RGB")).max() < 16:
        raise InputError(
            "its 16-bit colours use 12 bits or fewer, of which Pillow reads none or few; save it "
            "with 8 bits per channel"
        )
    if image.mode == "F":
        raise InputError("floating-point pixels; save it with 8 bits per channel")
    turn = _TURNS.get(_orientation(image))
    if image.mode.startswith("I"):  # I;16 and its byte orders, and I, which PIL uses for 16-bit PGM
        image = _eight_bits(image)
    if turn is not None:
        image = image.transpose(turn)
        image.info = {}  # which asks for the turn
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of `standard(image)`, of a JPEG without decoding it."""
    if image.format not in ("JPEG", "MPO"):
        image.load()  # formats that keep their EXIF block at the end, or apply it when loading
    width, height = image.size
    return (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block makes Pillow's parser raise anything; viewers skip it
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    grey = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 65535:
        raise InputError("integer pixels outside 0..65535; save it with 8 bits per channel")
    bits = _declared_bits(image)
    if not bits:
        bits = next(b for b in DEPTHS if grey.max() < 1 << b)
        if bits < 16:
            warnings.warn(
                "some 16-bit images use 12 bits or fewer and are scaled by these; see docs/data.md",
                stacklevel=1,
            )
    largest = (1 << bits) - 1
    return Image.fromarray(((grey * 255 + largest // 2) // largest).astype(np.uint8))


def _declared_bits(image: Image.Image) -> int:
    """Bits per pixel of a deep grey image, where its file says it; else 0."""
    if image.format == "PPM":  # scaled to 16 bits by Pillow, from the largest value it declares
        return 16
    return 12 if getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE) == (12,) else 0


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether Pillow will keep the upper halves of 16-bit colours; known before decoding only."""
    if image.format not in ("PNG", "TIFF") or image.mode.startswith("I"):
        return False
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _start(encoded: str | os.PathLike | bytes) -> bytes:
    if isinstance(encoded, bytes):
        return encoded[: stand_ins.START]
    with open(encoded, "rb") as file:
        return file.read(stand_ins.START)
