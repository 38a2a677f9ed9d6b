"""The text tower of CLIP (Radford et al. 2021, section 2.4): a causal transformer."""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.clip.tower_records import TextTransformer
from adapt_jax.clip.towers.transformer import (
    array,
    blocks_shapes,
    layer_norm,
    norm_shapes,
    run_blocks,
)
from adapt_jax.core.errors import InputError


def shapes(tower: TextTransformer, embed_dim: int) -> dict:
    """The parameters, as shapes."""
    return {
        "tokens": array(tower.vocab_size, tower.width),
        "positions": array(tower.context_length, tower.width),
        "blocks": blocks_shapes(tower),
        "ln_final": norm_shapes(tower.width),
        "projection": array(tower.width, embed_dim),
    }


def features(params: dict, tower: TextTransformer, ids: jax.Array, dtype) -> jax.Array:
    """Text embeddings (B, embed_dim) of token ids (B, L), computed in `dtype`.

    Attention is causal, so that whatever follows the end token, padding or nothing, is irrelevant.
    """
    x = pooled(params, tower, ids, dtype)
    return x @ params["projection"].astype(x.dtype)


def pooled(params: dict, tower: TextTransformer, ids: jax.Array, dtype) -> jax.Array:
    """The end tokens of texts (B, L), normalised: (B, W)."""
    x = hidden(params, tower, ids, dtype)
    end = end_position(ids, tower.eos_token_id)
    x = jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0]
    return layer_norm(x, params["ln_final"], tower.epsilon)


def hidden(params: dict, tower: TextTransformer, ids: jax.Array, dtype) -> jax.Array:
    """The last block's tokens (B, L, W), before `ln_final`; NaN from an id above the vocabulary.

    Raises:
      InputError: L exceeds the context length.
    """
    length = ids.shape[1]
    if length > tower.context_length:
        raise InputError(
            f"texts of {length} tokens exceed CLIP's context of {tower.context_length}; cut them"
        )
    # Embeddings are added before rounding: a low precision then rounds once.
    x = jnp.take(params["tokens"], ids, axis=0) + params["positions"][None, :length]
    return run_blocks(x.astype(dtype), params["blocks"], tower, causal=True)


def lengths(tower: TextTransformer, ids: np.ndarray) -> np.ndarray:
    """How many tokens of each text (B, L) its embedding depends on: up to its end token."""
    return 1 + end_position(ids, tower.eos_token_id)


def end_position(ids, eos_token_id: int | None):
    """Index of the end token of each text (B, L): an array (B,), NumPy's or JAX's as `ids` is."""
    return (ids if eos_token_id is None else ids == eos_token_id).argmax(-1)
