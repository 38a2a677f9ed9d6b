"""The boxes of torchvision's RandomResizedCrop, as a function of uniform random numbers.

The arithmetic is the same for NumPy, on the host, and for JAX, on the device: `xp` says which.
"""

import math

import numpy as np

TRIES = 10  # of torchvision's RandomResizedCrop, before it falls back to a central crop


def draw(u, height: int, width: int, scale, ratio, xp=np):
    """Boxes (..., 4) int32: top, left, height, width.

    Args:
      u: random numbers (..., TRIES, 4), uniform in [0, 1).
      height, width: size of the image in pixels.
      scale, ratio: ranges of the box's area (fraction) and of its width / height.
      xp: array library, numpy or jax.numpy.
    """
    area = height * width * (scale[0] + (scale[1] - scale[0]) * u[..., 0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = xp.exp(low + (high - low) * u[..., 1])
    wide, tall = xp.round(xp.sqrt(area * aspect)), xp.round(xp.sqrt(area / aspect))
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = xp.argmax(fits, axis=-1)[..., None]  # 0 if none fits

    def pick(x):
        return xp.take_along_axis(x, first, axis=-1)[..., 0]

    tall, wide, down, right = pick(tall), pick(wide), pick(u[..., 2]), pick(u[..., 3])
    # A product with a number just below 1 may round up, hence the minimum.
    top = xp.minimum(xp.floor(down * (height - tall + 1)), height - tall)
    left = xp.minimum(xp.floor(right * (width - wide + 1)), width - wide)
    drawn = xp.stack([top, left, tall, wide], axis=-1)
    centre = np.array(central(height, width, ratio), np.float32)
    centre = xp.broadcast_to(centre, drawn.shape)
    box = xp.where(xp.any(fits, axis=-1)[..., None], drawn, centre)
    return box.astype(xp.int32)


def central(height: int, width: int, ratio) -> tuple[int, int, int, int]:
    """The largest central box with an aspect ratio inside the range."""
    tall, wide = height, width
    if width / height < ratio[0]:
        tall = round(width / ratio[0])
    elif width / height > ratio[1]:
        wide = round(height * ratio[1])
    return (height - tall) // 2, (width - wide) // 2, tall, wide
