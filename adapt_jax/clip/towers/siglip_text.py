"""SigLIP's text tower (Zhai et al. 2023, https://arxiv.org/abs/2303.15343).

As huggingface/transformers `SiglipTextModel` computes it: attention is not causal and not masked,
and the last of all tokens sums a text up. Padding therefore counts: texts have to be padded to the
context length, as the model was trained.
"""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.clip.tower_records import SiglipText
from adapt_jax.clip.towers.transformer import (
    array,
    blocks_shapes,
    dense,
    dense_shapes,
    layer_norm,
    norm_shapes,
    run_blocks,
)
from adapt_jax.core.errors import InputError


def shapes(tower: SiglipText, embed_dim: int) -> dict:
    """The parameters, as shapes."""
    return {
        "tokens": array(tower.vocab_size, tower.width),
        "positions": array(tower.context_length, tower.width),
        "blocks": blocks_shapes(tower),
        "ln_final": norm_shapes(tower.width),
        "head": dense_shapes(tower.width, embed_dim),
    }


def features(params: dict, tower: SiglipText, ids: jax.Array, dtype) -> jax.Array:
    """Text embeddings (B, embed_dim) of token ids (B, L), computed in `dtype`.

    Raises:
      InputError: L exceeds the context length.
    """
    length = ids.shape[1]
    if length > tower.context_length:
        raise InputError(
            f"texts of {length} tokens exceed SigLIP's context of {tower.context_length}; cut them"
        )
    x = jnp.take(params["tokens"], ids, axis=0) + params["positions"][None, :length]
    x = run_blocks(x.astype(dtype), params["blocks"], tower, causal=False)
    return dense(layer_norm(x[:, -1], params["ln_final"], tower.epsilon), params["head"])


def lengths(tower: SiglipText, ids: np.ndarray) -> np.ndarray:
    """How many tokens of each text (B, L) its embedding depends on: all, padding included."""
    return np.full(len(ids), ids.shape[1])
