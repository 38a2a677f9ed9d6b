"""SigLIP's image tower (Zhai et al. 2023, https://arxiv.org/abs/2303.15343), a ViT.

As huggingface/transformers `SiglipVisionModel` computes it, from google-research/big_vision: no
class token; one learnt query attends to all patches (MAP, Lee et al. 2019), then an MLP.
"""

import jax
import jax.numpy as jnp

from adapt_jax.clip.tower_records import SiglipVision
from adapt_jax.clip.towers import positions
from adapt_jax.clip.towers.transformer import (
    ACTIVATIONS,
    along_last,
    array,
    attend,
    blocks_shapes,
    dense,
    dense_shapes,
    layer_norm,
    norm_shapes,
    run_blocks,
)
from adapt_jax.clip.towers.vision import patches
from adapt_jax.core.errors import InputError


def shapes(tower: SiglipVision, embed_dim: int) -> dict:
    """The parameters, as shapes; `embed_dim` is the tower's width, which no projection changes.

    Raises:
      InputError: it is another.
    """
    width, inner = tower.width, tower.mlp_width
    if embed_dim != width:
        raise InputError(f"SigLIP's image embeddings are {width} wide, its texts' {embed_dim}")
    side = tower.image_size // tower.patch_size
    return {
        "patches": {
            "kernel": array(tower.patch_size, tower.patch_size, 3, width),
            "bias": array(width),
        },
        "positions": array(side * side, width),
        "blocks": blocks_shapes(tower),
        "ln_post": norm_shapes(width),
        "head": {
            "probe": array(1, 1, width),
            "attn": {"qkv": dense_shapes(width, 3 * width), "out": dense_shapes(width, width)},
            "ln": norm_shapes(width),
            "mlp": {"fc": dense_shapes(width, inner), "out": dense_shapes(inner, width)},
        },
    }


def features(params: dict, tower: SiglipVision, pixels: jax.Array, kernel: str) -> jax.Array:
    """Image embeddings (B, width) of normalised pixels (B, H, W, 3), in the dtype of these.

    Positions are interpolated, with `kernel` of `positions.resize`, for images of another size.

    Raises:
      InputError: images smaller than one patch.
    """
    if min(pixels.shape[1:3]) < tower.patch_size:
        height, width = pixels.shape[1:3]
        raise InputError(
            f"{height} x {width} images are smaller than SigLIP's patches of {tower.patch_size}"
        )
    x, grid = patches(params["patches"]["kernel"], pixels)
    x = x + along_last(params["patches"]["bias"].astype(x.dtype), x)
    x = x + positions.resize_grid(params["positions"], grid, kernel).astype(x.dtype)[None]
    x = run_blocks(x, params["blocks"], tower, causal=False)
    x = layer_norm(x, params["ln_post"], tower.epsilon)
    return _attention_pool(x, params["head"], tower)


def _attention_pool(x, params, tower):
    b, length, width = x.shape
    qkv = params["attn"]["qkv"]
    query = {"kernel": qkv["kernel"][:, :width], "bias": qkv["bias"][:width]}
    key_value = {"kernel": qkv["kernel"][:, width:], "bias": qkv["bias"][width:]}
    heads = (tower.heads, width // tower.heads)
    q = dense(params["probe"].astype(x.dtype), query).reshape(1, 1, *heads)
    kv = dense(x, key_value).reshape(b, length, 2, *heads)
    pooled = attend(jnp.broadcast_to(q, (b, 1, *heads)), kv[:, :, 0], kv[:, :, 1])
    pooled = dense(pooled.reshape(b, width), params["attn"]["out"])
    y = dense(layer_norm(pooled, params["ln"], tower.epsilon), params["mlp"]["fc"])
    return pooled + dense(ACTIVATIONS[tower.activation](y), params["mlp"]["out"])
