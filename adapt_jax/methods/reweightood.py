"""ReweightOOD: pairwise contrast with loss weights that depend on the similarity itself.

Paper: ReweightOOD: Loss Reweighting for Distance-based OOD Detection (CVPR Workshops 2024),
https://openaccess.thecvf.com/content/CVPR2024W/TCV2024/papers/Regmi_ReweightOOD_Loss_Reweighting_for_Distance-based_OOD_Detection_CVPRW_2024_paper.pdf
Code: https://github.com/sudarshanregmi/ReweightOOD.

Over all pairs of rows, L = ELU(Lp + Ln) with
Lp = log sum over pairs of one class of exp(-w s / t), Ln = log sum over pairs of two classes of
exp(+w s / t), where w = sigmoid(c_w - m_w s) within and sigmoid(m_b s - c_b) between
classes carry no gradient. One scalar per batch: log-sums over pairs, not a mean, so its size
depends on the batch (about 20 at a perfect optimum of 512 images).

A batch without a same-class pair, or without a pair of two classes, gives the constant -1 with zero
gradient, as in the official code.
"""

import jax
import jax.numpy as jnp

from adapt_jax.core import checks, views
from adapt_jax.core.arrays import l2_normalize, matmul
from adapt_jax.methods.base import Method


def make(
    *,
    num_classes: int | None = None,
    feature_dim: int | None = None,
    temperature: float = 0.1,
    m_b: float = 5.0,
    c_b: float = 4.0,
    m_w: float = 2.0,
    c_w: float = 1.0,
) -> Method:
    """ReweightOOD with its one set of published constants; keeps no state.

    Args:
      num_classes: number of classes; not used, but accepted by every method.
      feature_dim: width of the embeddings; not used, but accepted by every method.
      temperature: temperature t.
      m_b: slope of the weight between classes.
      c_b: offset of the weight between classes.
      m_w: slope of the weight within classes.
      c_w: offset of the weight within classes.

    Metrics: `pos_lse` (Lp), `neg_lse` (Ln); -inf where there is no such pair.

    Raises:
      ValueError: a value out of its range.
    """
    del num_classes, feature_dim
    checks.positive(temperature=temperature)

    def init(key: jax.Array) -> tuple[()]:
        del key
        return ()

    def loss(embeddings, labels, state):
        """Embeddings (V, B, D), normalised here once more as the trainer does -> loss."""
        features, labels = views.flatten(embeddings, labels)
        features = l2_normalize(features)
        similarity = matmul(features, features.T)  # (N, N)
        detached = jax.lax.stop_gradient(similarity)
        index = jnp.arange(len(features))
        pair = index[:, None] < index[None, :]
        same = labels[:, None] == labels[None, :]
        within = jax.nn.sigmoid(c_w - m_w * detached)
        between = jax.nn.sigmoid(m_b * detached - c_b)
        pos_lse = jax.nn.logsumexp(-within * similarity / temperature, where=pair & same)
        neg_lse = jax.nn.logsumexp(between * similarity / temperature, where=pair & ~same)
        complete = jnp.isfinite(pos_lse) & jnp.isfinite(neg_lse)
        value = jnp.where(complete, jax.nn.elu(pos_lse + neg_lse), -1.0)
        return value, (state, {"pos_lse": pos_lse, "neg_lse": neg_lse})

    return Method(init, loss)
