"""GroupViT's text tower: CLIP's with an MLP for a projection (huggingface/transformers)."""

import jax

from adapt_jax.clip.tower_records import GroupVitText
from adapt_jax.clip.towers import text
from adapt_jax.clip.towers.groupvit_vision import projected, projection_shapes

lengths = text.lengths


def shapes(tower: GroupVitText, embed_dim: int) -> dict:
    """The parameters, as shapes."""
    tree = text.shapes(tower, embed_dim)
    del tree["projection"]
    return tree | {"project": projection_shapes(tower.width, tower.projection_width, embed_dim)}


def features(params: dict, tower: GroupVitText, ids: jax.Array, dtype) -> jax.Array:
    """Text embeddings (B, embed_dim) of token ids (B, L), computed in `dtype`."""
    return projected(text.pooled(params, tower, ids, dtype), params["project"])
