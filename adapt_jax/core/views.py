"""From (V, B, ...) views of a batch to rows, and labels to match."""

import jax
import jax.numpy as jnp


def flatten(embeddings: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(V, B, D), (B,) -> rows (V*B, D), view-major, and their labels (V*B,)."""
    views, batch, dim = embeddings.shape
    if labels.shape != (batch,):
        raise ValueError(
            f"labels have shape {labels.shape}, embeddings {embeddings.shape} need ({batch},)"
        )
    return embeddings.reshape(views * batch, dim), jnp.tile(labels, views)
