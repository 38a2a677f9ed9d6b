"""GroupViT's image tower (Xu et al. 2022, https://arxiv.org/abs/2202.11094).

As huggingface/transformers `GroupViTModel` computes it, from NVlabs/GroupViT, without its noise in
training: each patch goes to the group whose attention is largest, a hard choice.
"""

import jax
import jax.numpy as jnp

from adapt_jax.clip.tower_records import GroupVitVision
from adapt_jax.clip.towers import positions
from adapt_jax.clip.towers.transformer import (
    ACTIVATIONS,
    along_last,
    array,
    attend,
    batch_norm,
    batch_norm_shapes,
    blocks_shapes,
    dense,
    dense_shapes,
    layer_norm,
    norm_shapes,
    run_blocks,
)
from adapt_jax.clip.towers.vision import patches
from adapt_jax.core.arrays import working_dtype

_ATTENTION = ("q_proj", "k_proj", "v_proj")


def shapes(tower: GroupVitVision, embed_dim: int) -> dict:
    """The parameters, as shapes."""
    width, side = tower.width, tower.image_size // tower.patch_size
    tree = {
        "patch_projection": {
            "kernel": array(tower.patch_size, tower.patch_size, 3, width),
            "bias": array(width),
        },
        "grid": array(1, side * side, width),
        "ln_embed": norm_shapes(width),
        "ln_out": norm_shapes(width),
        "project": projection_shapes(width, tower.projection_width, embed_dim),
    }
    previous = 0
    for i, (depth, tokens, groups) in enumerate(_stages(tower)):
        stage: dict = {"blocks": blocks_shapes(tower, depth)}
        if tokens:
            stage["group_token"] = array(1, tokens, width)
            stage["downsample"] = _assign_shapes(tower, tokens, groups)
            if previous:
                mixer = _mlp_shapes(previous, width // 2, tokens)
                stage["group_projector"] = {"0": norm_shapes(width), "1": mixer}
        tree[f"stage{i}"] = stage
        previous = groups
    return tree


def features(params: dict, tower: GroupVitVision, pixels: jax.Array, kernel: str) -> jax.Array:
    """Image embeddings (B, embed_dim) of normalised pixels (B, H, W, 3), in the dtype of these.

    Positions are interpolated, with `kernel` of `positions.resize`, for images of another size.
    """
    projection = params["patch_projection"]
    x, grid = patches(projection["kernel"], pixels)
    x = x + along_last(projection["bias"].astype(x.dtype), x)
    x = layer_norm(x, params["ln_embed"], tower.epsilon)
    x = x + positions.resize_grid(params["grid"][0], grid, kernel).astype(x.dtype)[None]
    groups = None
    for i, (_, tokens, _) in enumerate(_stages(tower)):
        x, groups = _stage(x, groups, params[f"stage{i}"], tower, tokens)
    pooled = jnp.mean(layer_norm(x, params["ln_out"], tower.epsilon), axis=1)
    return projected(pooled, params["project"])


def projection_shapes(width: int, inner: int, embed_dim: int) -> dict:
    """Parameters of `projected`."""
    bn = batch_norm_shapes(inner)
    return {"fc": dense_shapes(width, inner), "bn": bn, "out": dense_shapes(inner, embed_dim)}


def projected(x: jax.Array, params: dict) -> jax.Array:
    """(B, W) -> (B, embed_dim): an MLP with batch normalisation by its stored statistics."""
    x = batch_norm(dense(x, params["fc"]), params["bn"])
    return dense(jax.nn.relu(x), params["out"])


def _stages(tower):
    return list(zip(tower.depths, tower.group_tokens, tower.output_groups))


def _stage(x, groups, params, tower, tokens):
    """The tokens that leave a stage, and its group tokens, None without any."""
    if not tokens:
        return run_blocks(x, params["blocks"], tower, causal=False), None
    own = params["group_token"].astype(x.dtype)
    own = jnp.broadcast_to(own, (x.shape[0], *own.shape[1:]))
    if "group_projector" in params:
        normed = layer_norm(groups, params["group_projector"]["0"], tower.epsilon)
        own = own + _mixed(normed, params["group_projector"]["1"], tower)
    x = run_blocks(jnp.concatenate([x, own], axis=1), params["blocks"], tower, causal=False)
    x, own = x[:, :-tokens], x[:, -tokens:]
    return _assigned(x, own, params["downsample"], tower), own


def _assigned(x, own, p, tower):
    """Patches x (B, N, W) and group tokens (B, T, W) -> groups (B, G, W)."""
    own = layer_norm(own, p["norm_tokens"], tower.epsilon)
    x = layer_norm(x, p["norm_x"], tower.epsilon)
    groups = layer_norm(_mixed(own, p["mlp_inter"], tower), p["norm_post_tokens"], tower.epsilon)
    groups = _cross_attended(groups, x, p["pre_assign_attn"], tower)
    q, k, v = (dense(t, p["assign"][n]) for n, t in zip(_ATTENTION, (groups, x, x)))
    attention = jnp.einsum("bgw,bnw->bgn", q, k, preferred_element_type=working_dtype(x.dtype))
    choice = jnp.argmax(attention, axis=1)  # (B, N); no scale changes it
    share = jax.nn.one_hot(choice, groups.shape[1], axis=1, dtype=x.dtype)
    share = share / (jnp.sum(share, axis=2, keepdims=True) + tower.assign_epsilon)
    groups = groups + dense(share @ v, p["assign"]["proj"])
    normed = layer_norm(groups, p["norm_new_x"], tower.epsilon)
    return groups + _mlp(normed, p["mlp_channels"], tower)


def _cross_attended(groups, x, p, tower):
    heads = (tower.heads, tower.width // tower.heads)
    inputs = zip(_ATTENTION, (groups, x, x))
    q, k, v = (dense(t, p["attn"][n]).reshape(*t.shape[:2], *heads) for n, t in inputs)
    groups = groups + dense(attend(q, k, v).reshape(groups.shape), p["attn"]["out_proj"])
    groups = groups + _mlp(layer_norm(groups, p["norm2"], tower.epsilon), p["mlp"], tower)
    return layer_norm(groups, p["norm_post"], tower.epsilon)


def _mlp(x, p, tower):
    return dense(ACTIVATIONS[tower.activation](dense(x, p["fc1"])), p["fc2"])


def _mixed(x, p, tower):
    """The MLP over tokens instead of channels: (B, T, W) -> (B, G, W)."""
    return _mlp(x.swapaxes(1, 2), p, tower).swapaxes(1, 2)


def _assign_shapes(tower, tokens, groups):
    width, (over_tokens, over_channels) = tower.width, tower.assign_widths
    norms = ("norm_tokens", "norm_post_tokens", "norm_x", "norm_new_x")
    dense_of = {name: dense_shapes(width, width) for name in _ATTENTION}
    return {
        **{name: norm_shapes(width) for name in norms},
        "mlp_inter": _mlp_shapes(tokens, over_tokens, groups),
        "pre_assign_attn": {
            "attn": dense_of | {"out_proj": dense_shapes(width, width)},
            "norm2": norm_shapes(width),
            "mlp": _mlp_shapes(width, tower.mlp_width, width),
            "norm_post": norm_shapes(width),
        },
        "assign": dense_of | {"proj": dense_shapes(width, width)},
        "mlp_channels": _mlp_shapes(width, over_channels, width),
    }


def _mlp_shapes(inputs, inner, outputs):
    return {"fc1": dense_shapes(inputs, inner), "fc2": dense_shapes(inner, outputs)}
