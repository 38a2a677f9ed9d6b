"""Augmentation on the device: random resized crop, flip, colour jitter, grey, normalisation.

The distribution, and up to rounding the pixels, of torchvision's RandomResizedCrop,
RandomHorizontalFlip, RandomApply([ColorJitter]) and RandomGrayscale on 8-bit PIL images, which
ADAPT, PALM, CIDER and OpenOOD train with. `make` composes the three steps below.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.checks import channel_statistics
from adapt_jax.core.errors import InputError
from adapt_jax.data.augment import boxes
from adapt_jax.data.augment.jitter import jitter, luma
from adapt_jax.data.augment.resample import resize, weights

ORDERS = np.array(list(itertools.permutations(range(4))), np.int32)


class Draws(NamedTuple):
    """The random choices for views of images, arrays of one leading shape (...), here (B, V).

    box (..., 4) int32: top, left, height, width; flip, jitter, grey (...) bool; factors (..., 3)
    float32: brightness, contrast, saturation; hue (...) float32, whole, in 1/255 turns; order
    (..., 4) int32: brightness 0, contrast 1, saturation 2, hue 3.
    """

    box: jax.Array
    flip: jax.Array
    jitter: jax.Array
    factors: jax.Array
    hue: jax.Array
    order: jax.Array
    grey: jax.Array


def make(
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    views: int = 2,
    crop_scale: tuple[float, float] = (0.2, 1.0),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
    jitter_probability: float = 0.8,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    grayscale: float = 0.2,
    cropped: bool = False,
    dtype: jnp.dtype = jnp.float32,
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`augment(key, images (B, H, W, 3) uint8) -> (B, V, S, S, 3)` in `dtype`, normalised.

    Views are independent of each other and adjacent per image. Arguments that turn a step off:
    crop_scale (1, 1), flip 0, jitter_probability 0, grayscale 0; with all of them off, an S x S
    image comes back as `make_normalize` gives it, bit for bit.

    Args:
      image_size: height and width S of the result in pixels.
      mean, std: channel means and deviations (3,) of pixels as fractions of 255.
      views: number of views V per image.
      crop_scale, crop_ratio: ranges of the crop's area (fraction) and width / height.
      flip, jitter_probability, grayscale: probabilities of these steps.
      brightness, contrast, saturation: strengths; x draws a factor from max(0, 1-x) .. 1+x.
      hue: strength of the hue shift; x draws a shift from -x .. x turns.
      cropped: whether the images are crops (B, V, S, S, 3) already, see `host_crops`.
      dtype: dtype of the result; the work is done in float32.

    Raises:
      InputError: an argument out of its range.
    """
    for name, count in (("image_size", image_size), ("views", views)):
        if count != int(count) or count < 1:
            raise InputError(f"{name} must be a whole number of at least 1, got {count!r}")
    draw = make_draw(
        crop_scale=crop_scale,
        crop_ratio=crop_ratio,
        flip=flip,
        jitter_probability=jitter_probability,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        grayscale=grayscale,
    )
    # A step that never happens is not compiled in.
    steps = {"jitters": jitter_probability > 0, "greys": grayscale > 0, "crops": not cropped}
    apply = make_apply(image_size, **steps)
    normalize = make_normalize(mean, std, dtype)

    def augment(key, images):
        *_, height, width, _ = images.shape
        draws = draw(key, (len(images), views), height, width)
        return normalize(apply(images, draws))

    return augment


def make_draw(
    *,
    crop_scale: tuple[float, float],
    crop_ratio: tuple[float, float],
    flip: float,
    jitter_probability: float,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    grayscale: float,
) -> Callable[..., Draws]:
    """`draw(key, shape, height, width) -> Draws` with leading `shape`; arguments as in `make`."""
    for name, value in (
        ("flip", flip),
        ("jitter_probability", jitter_probability),
        ("grayscale", grayscale),
    ):
        if not 0 <= value <= 1:
            raise InputError(f"{name} is a probability in [0, 1], got {value!r}")
    for name, value in (
        ("brightness", brightness),
        ("contrast", contrast),
        ("saturation", saturation),
    ):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be at least 0, got {value!r}")
    if not 0 <= hue <= 0.5:
        raise InputError(f"hue is a part of a turn in [0, 0.5], got {hue!r}")
    for name, pair in (("crop_scale", crop_scale), ("crop_ratio", crop_ratio)):
        if len(pair) != 2:
            raise InputError(f"{name} must be two numbers (low, high), got {pair!r}")
    if not 0 < crop_scale[0] <= crop_scale[1] <= 1:
        raise InputError(f"crop_scale must be 0 < low <= high <= 1, got {crop_scale!r}")
    if not 0 < crop_ratio[0] <= crop_ratio[1] < math.inf:
        raise InputError(f"crop_ratio must be 0 < low <= high, got {crop_ratio!r}")
    strength = np.array([brightness, contrast, saturation], np.float32)
    low, high = np.maximum(1 - strength, 0), 1 + strength

    def draw(key, shape, height, width):
        keys = jax.random.split(key, 7)

        def uniform(key, *more):
            return jax.random.uniform(key, (*shape, *more), jnp.float32)

        def between(u):
            return jnp.broadcast_to(low, u.shape) + jnp.broadcast_to(high - low, u.shape) * u

        turns = hue * (2 * uniform(keys[4]) - 1)
        return Draws(
            box=boxes.draw(
                uniform(keys[0], boxes.TRIES, 4), height, width, crop_scale, crop_ratio, jnp
            ),
            flip=uniform(keys[1]) < flip,
            jitter=uniform(keys[2]) < jitter_probability,
            factors=between(uniform(keys[3], 3)),
            hue=jnp.trunc(255 * turns),  # torchvision casts to 8 bits
            order=jnp.asarray(ORDERS)[
                jax.random.randint(keys[5], shape, 0, len(ORDERS), jnp.int32)
            ],
            grey=uniform(keys[6]) < grayscale,
        )

    return draw


def make_apply(
    image_size: int, *, jitters: bool = True, greys: bool = True, crops: bool = True
) -> Callable[[jax.Array, Draws], jax.Array]:
    """`apply(images (B, H, W, 3) uint8, draws (B, V)) -> (B, V, S, S, 3)` uint8.

    jitters, greys: False leaves the step out, whatever is drawn. crops: False takes images
    (B, V, S, S, 3), each a view to be flipped.
    """

    def view(image, draw: Draws):
        if crops:
            height, width, _ = image.shape
            top, left, tall, wide = draw.box
            rows = weights(top, tall, image_size, height)
            columns = weights(left, wide, image_size, width, draw.flip)
            image = resize(image, rows, columns)
        else:
            image = jnp.where(draw.flip, image[:, ::-1], image)
        if jitters:
            image = jitter(image, draw.factors, draw.hue, draw.order, draw.jitter)
        if greys:
            image = jnp.where(draw.grey, luma(image).astype(jnp.uint8), image)
        return image

    return jax.vmap(jax.vmap(view, in_axes=(None if crops else 0, 0)))


def make_normalize(
    mean: Sequence[float], std: Sequence[float], dtype: jnp.dtype = jnp.float32
) -> Callable[[jax.Array], jax.Array]:
    """`normalize(pixels (..., 3), 0..255) -> (pixels / 255 - mean) / std` in `dtype`.

    Raises:
      InputError: mean or std is not three finite numbers on the scale 0..1, or std is not positive.
    """
    channel_statistics(mean, std)
    shift, scale = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    # Subtract, then multiply: no compiler fuses that, so the bits are the same in every program.
    centre, inverse = np.float32(255 * shift), np.float32(1 / (255 * scale))

    def normalize(pixels):
        shift, scale = (jnp.broadcast_to(x, pixels.shape) for x in (centre, inverse))
        return ((pixels.astype(jnp.float32) - shift) * scale).astype(dtype)

    return normalize


def mean_std(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (population) std per channel, (3,) float64, as fractions of 255.

    images (N, H, W, 3) uint8, N*H*W > 0. Sums are whole numbers, so the result is exact.
    """
    total, square, width = [0] * 3, [0] * 3, images.shape[2] * 3
    step = max(1, (1 << 24) // max(1, images[0].size))
    for start in range(0, len(images), step):
        block = images[start : start + step].reshape(-1, width)
        wide = block.astype(np.uint32)
        sums = wide.sum(axis=0, dtype=np.int64).reshape(-1, 3).sum(axis=0)
        wide *= wide
        squares = wide.sum(axis=0, dtype=np.int64).reshape(-1, 3).sum(axis=0)
        for c in range(3):
            total[c] += int(sums[c])
            square[c] += int(squares[c])
    n = math.prod(images.shape[:3])
    mean = np.array([t / (255 * n) for t in total])
    variance = [(n * q - t * t) / (n * n) for q, t in zip(square, total)]
    return mean, np.sqrt(np.array(variance)) / 255
