"""BERT as a text tower: XLM-R in AltCLIP, BERT in ALIGN.

As huggingface/transformers computes it (`AltCLIPTextModel`, `AlignTextModel`): blocks are
post-norm, attention passes over padding, and the first token is projected.
"""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.clip.tower_records import BertText
from adapt_jax.clip.towers.transformer import (
    ACTIVATIONS,
    array,
    dense,
    dense_shapes,
    layer_norm,
    norm_shapes,
    self_attention,
)
from adapt_jax.core.errors import InputError


def shapes(tower: BertText, embed_dim: int) -> dict:
    """The parameters, as shapes."""
    width, inner = tower.width, tower.mlp_width
    block = {
        "attention": {"qkv": dense_shapes(width, 3 * width), "out": dense_shapes(width, width)},
        "attention_norm": norm_shapes(width),
        "intermediate": dense_shapes(width, inner),
        "output": dense_shapes(inner, width),
        "output_norm": norm_shapes(width),
    }
    body = {
        "tokens": array(tower.vocab_size, width),
        "positions": array(tower.positions, width),
        "types": array(tower.token_types, width),
        "ln_embed": norm_shapes(width),
        "blocks": jax.tree.map(lambda a: array(tower.layers, *a.shape), block),
    }
    if not tower.transform_width:
        return {_body(tower): body, "out": dense_shapes(width, embed_dim)}
    return {
        _body(tower): body,
        "ln_pool": norm_shapes(width),
        "transform": dense_shapes(width, tower.transform_width),
        "projection": array(tower.transform_width, embed_dim),
    }


def features(params: dict, tower: BertText, ids: jax.Array, dtype) -> jax.Array:
    """Text embeddings (B, embed_dim) of token ids (B, L), computed in `dtype`.

    Raises:
      InputError: L exceeds the context length.
    """
    if ids.shape[1] > tower.context_length:
        raise InputError(
            f"texts of {ids.shape[1]} tokens exceed the model's context of {tower.context_length}; "
            "cut them"
        )
    x = _hidden(params[_body(tower)], tower, ids, dtype)[:, 0]
    if not tower.transform_width:
        return dense(x, params["out"])
    x = dense(layer_norm(x, params["ln_pool"], tower.epsilon), params["transform"])
    return x @ params["projection"].astype(x.dtype)


def lengths(tower: BertText, ids: np.ndarray) -> np.ndarray:
    """How many tokens of each text (B, L) its embedding depends on: up to the last that counts."""
    count = ids != tower.pad_token_id
    behind = np.argmax(count[:, ::-1], axis=1)
    return np.where(count.any(axis=1), ids.shape[1] - behind, 1)


def _body(tower):
    return "roberta" if tower.roberta else "bert"


def _hidden(params, tower, ids, dtype):
    """The last block's tokens (B, L, W)."""
    visible = ids != tower.pad_token_id
    places = jnp.broadcast_to(jnp.arange(ids.shape[1])[None], ids.shape)
    if tower.roberta:
        places = jnp.cumsum(visible, axis=1) * visible + tower.pad_token_id
    x = jnp.take(params["tokens"], ids, axis=0) + jnp.take(params["positions"], places, axis=0)
    x = layer_norm(x + params["types"][None, :1], params["ln_embed"], tower.epsilon).astype(dtype)
    activation = ACTIVATIONS[tower.activation]

    def block(x, p):
        y = self_attention(x, p["attention"], tower.heads, visible[:, None])
        x = layer_norm(x + y, p["attention_norm"], tower.epsilon)
        y = dense(activation(dense(x, p["intermediate"])), p["output"])
        return layer_norm(x + y, p["output_norm"], tower.epsilon), None

    return jax.lax.scan(block, x, params["blocks"])[0]
