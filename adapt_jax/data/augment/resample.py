"""PIL's antialiased bilinear resize of a crop, as two small weight matrices.

A crop is interpolated from its own pixels only, as if cut out first. (The function of jax.image
that scales and translates also reads around the crop: up to 72 of 255 off at borders.)
"""

import jax
import jax.numpy as jnp

from adapt_jax.core.arrays import HIGHEST


def weights(
    start: jax.Array, length: jax.Array, size: int, source: int, mirror: jax.Array | bool = False
) -> jax.Array:
    """Weights (size, source) that resize pixels start .. start+length-1 of a line to `size` pixels.

    A triangle of half-width max(1, length/size) source pixels around each target's centre, cut off
    at the ends of the crop, rows summing to 1. start, length () int32; mirror () bool reverses the
    result.
    """
    scale = length.astype(jnp.float32) / size
    target = jnp.arange(size, dtype=jnp.float32)[:, None]
    target = jnp.where(mirror, size - 1 - target, target)
    offset = (jnp.arange(source, dtype=jnp.int32)[None] - start).astype(jnp.float32)  # in the crop
    distance = jnp.abs(offset + 0.5 - (target + 0.5) * scale) / jnp.maximum(scale, 1.0)
    inside = (offset >= 0) & (offset < length)
    triangle = jnp.where(inside, jnp.maximum(1.0 - distance, 0.0), 0.0)
    return triangle / jnp.sum(triangle, axis=1, keepdims=True)


def resize(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """image (H, W, 3) uint8, rows (S, H), columns (S, W) -> (S, S, 3) uint8.

    Rounded after each of the two passes, columns first, as PIL does.
    """
    wide = jnp.einsum("tw,hwc->htc", columns, image.astype(jnp.float32), precision=HIGHEST)
    wide = jnp.floor(wide + 0.5)
    tall = jnp.einsum("sh,htc->stc", rows, wide, precision=HIGHEST)
    return jnp.clip(tall + 0.5, 0.0, 255.0).astype(jnp.uint8)
