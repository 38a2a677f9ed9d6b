"""Colour jitter and greyscale as torchvision does them on 8-bit PIL images.

Images are uint8 before and after every operation. PIL truncates each time, and skipping that shifts
the mean by a whole grey level; besides, an 8-bit image is a quarter of the memory traffic.
"""

import jax
import jax.numpy as jnp

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def luma(image: jax.Array) -> jax.Array:
    """PIL's grey: (..., 3) with whole values 0..255 -> (..., 1) float32, whole.

    Exact: the sum stays below 2^24, up to where float32 has every whole number.
    """
    red, green, blue = (image[..., c : c + 1].astype(jnp.float32) for c in range(3))
    return jnp.floor((19595.0 * red + 38470.0 * green + 7471.0 * blue + 32768.0) / 65536.0)


def jitter(
    image: jax.Array,
    factors: jax.Array,
    shift: jax.Array,
    order: jax.Array,
    active: jax.Array | bool = True,
) -> jax.Array:
    """Brightness, contrast, saturation and hue in a given order, under `vmap` each image its own.

    The first three are one operation, `target + factor * (image - target)` with target black, mean
    grey or grey. So hue, the expensive one, is evaluated once, with three cheap slots before it and
    three after; a slot on the wrong side has factor 1, which changes nothing.

    Args:
      image: image (H, W, 3), uint8.
      factors: factors (3,) float32 of brightness, contrast, saturation; 1 does nothing.
      shift: hue shift () float32 in 1/255 turns, whole; 0 still rounds through HSV, as PIL does.
      order: order (4,) int32 of the operations.
      active: whether to do anything, () bool.
    """
    place = jnp.argmax(order == HUE)
    slot = jnp.arange(3)
    kinds = order[slot + (slot >= place)]  # the other three, in order
    factors = factors[kinds]

    def blend_all(image, here):
        # A loop, because XLA would fuse the chain into itself: on a CPU many times slower.
        steps = (kinds, jnp.where(here & active, factors, 1.0))
        return jax.lax.scan(lambda x, step: (blend(x, *step), None), image, steps)[0]

    image = blend_all(image, slot < place)
    image = jnp.where(active, turn_hue(image, shift), image)
    return blend_all(image, slot >= place)


def blend(image: jax.Array, kind: jax.Array, factor: jax.Array) -> jax.Array:
    """One of brightness, contrast, saturation; kind () int32, factor () float32."""
    grey = luma(image)  # (H, W, 1)
    mean = jnp.floor(jnp.mean(grey, keepdims=True) + 0.5)
    target = jnp.where(kind == SATURATION, grey, jnp.where(kind == CONTRAST, mean, 0.0))
    mixed = target + factor * (image.astype(jnp.float32) - target)
    return jnp.clip(mixed, 0.0, 255.0).astype(jnp.uint8)


def turn_hue(image: jax.Array, shift: jax.Array) -> jax.Array:
    """Hue shifted by shift () 1/255 turns through PIL's 8-bit HSV, roundings included."""
    red, green, blue = (image[..., c].astype(jnp.float32) for c in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    scale = 1.0 / jnp.maximum(chroma, 1.0)
    sector = jnp.where(
        red == value,
        (green - blue) * scale,
        jnp.where(green == value, 2.0 + (blue - red) * scale, 4.0 + (red - green) * scale),
    )
    sector = jnp.where(sector < 0.0, sector + 6.0, sector)  # [0, 6)
    saturation = jnp.floor(chroma * 255.0 / jnp.maximum(value, 1.0))
    # An 8-bit sum: it wraps at 256 although a turn is 255.
    hue = jnp.floor(sector * 42.5) + shift
    hue = hue - 256.0 * jnp.floor(hue / 256.0)
    sector = hue * (6.0 / 255.0)
    depth = value * saturation / 255.0

    def channel(phase: float) -> jax.Array:
        k = sector + phase
        k = jnp.where(k >= 6.0, k - 6.0, k)
        k = jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)
        return (value - depth * k + 0.5).astype(jnp.uint8)

    return jnp.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1)
