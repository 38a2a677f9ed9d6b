"""The ViT image tower of CLIP (Radford et al. 2021; openai/CLIP `VisionTransformer`)."""

import jax
import jax.numpy as jnp

from adapt_jax.clip.tower_records import VisionTransformer
from adapt_jax.clip.towers import positions
from adapt_jax.clip.towers.transformer import (
    along_last,
    array,
    blocks_shapes,
    layer_norm,
    norm_shapes,
    run_blocks,
)
from adapt_jax.core.errors import InputError


def shapes(tower: VisionTransformer, embed_dim: int) -> dict:
    """The parameters, as shapes."""
    side, patch, width = tower.image_size // tower.patch_size, tower.patch_size, tower.width
    return {
        "patches": {"kernel": array(patch, patch, 3, width)},
        "class_embedding": array(width),
        "positions": array(1 + side * side, width),
        "ln_pre": norm_shapes(width),
        "blocks": blocks_shapes(tower),
        "ln_post": norm_shapes(width),
        "projection": array(width, embed_dim),
    }


def features(params: dict, tower: VisionTransformer, pixels: jax.Array, kernel: str) -> jax.Array:
    """Image embeddings (B, embed_dim) of normalised pixels (B, H, W, 3), in the dtype of these."""
    pooled = tokens(params, tower, pixels, kernel)[:, 0]
    pooled = layer_norm(pooled, params["ln_post"], tower.epsilon)
    return pooled @ params["projection"].astype(pooled.dtype)


def tokens(params: dict, tower: VisionTransformer, pixels: jax.Array, kernel: str) -> jax.Array:
    """The last block's tokens (B, 1 + patches, W), class token first, before `ln_post`.

    Positions are interpolated, with `kernel` of `positions.resize`, for images of another size.

    Raises:
      InputError: H or W is not a multiple of the patch size.
    """
    height, width = pixels.shape[1:3]
    p = tower.patch_size
    if height % p or width % p:
        raise InputError(f"{height} x {width} images do not divide into CLIP's {p} x {p} patches")
    x, grid = patches(params["patches"]["kernel"], pixels)
    first = along_last(params["class_embedding"].astype(x.dtype), x)
    x = jnp.concatenate([jnp.broadcast_to(first, (x.shape[0], 1, tower.width)), x], axis=1)
    x = x + positions.resize(params["positions"], grid, kernel).astype(x.dtype)[None]
    x = layer_norm(x, params["ln_pre"], tower.epsilon)
    return run_blocks(x, params["blocks"], tower, causal=False)


def patches(kernel: jax.Array, pixels: jax.Array) -> tuple[jax.Array, tuple[int, int]]:
    """Embeddings (B, rows * columns, W) of the patches of pixels (B, H, W, 3), and that grid.

    kernel: (P, P, 3, W). What does not fill a patch, on the right and below, is left out.
    """
    b, size = pixels.shape[0], len(kernel)
    rows, columns = (n // size for n in pixels.shape[1:3])
    # A convolution whose stride is its size is one product.
    blocks = pixels[:, : rows * size, : columns * size]
    blocks = blocks.reshape(b, rows, size, columns, size, 3)
    x = jnp.einsum("bhiwjc,ijcd->bhwd", blocks, kernel.astype(pixels.dtype))
    return x.reshape(b, rows * columns, kernel.shape[-1]), (rows, columns)
