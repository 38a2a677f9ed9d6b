"""Heads on the pooled features: a projection to the unit sphere, or a linear classifier."""

import jax
from flax import linen as nn

from adapt_jax.core.arrays import l2_normalize
from adapt_jax.models.layers import Linear


class ProjectionHead(nn.Module):
    """Linear, ReLU, Linear to unit rows: the head contrastive methods train through."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, F) -> (N, features), unit rows."""
        x = nn.relu(Linear(x.shape[-1], name="hidden")(x))
        return l2_normalize(Linear(self.features, name="output")(x))
