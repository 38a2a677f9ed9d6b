"""Spherical k-means on the device: unit rows, unit centres, cosine in place of distance.

Hornik et al. 2012, seeded as k-means++ (Arthur & Vassilvitskii 2007). Everything is one product of
static shape per round, so it compiles once, and rows may be split over devices: sums and counts
are then reduced over all of them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax.core.arrays import NORM_FLOOR, l2_normalize, matmul

_SAME = 1e-6  # objectives closer than this belong to one clustering, found again


class Clusters(NamedTuple):
    """centres (K, D) unit rows; assignment (N,) int32 in 0..K-1; objective (), the mean cosine.

    Every row is assigned to its nearest centre. Empty clusters are given a row in every round; one
    can still end empty, certainly where the rows are fewer than K distinct points.
    """

    centres: jax.Array
    assignment: jax.Array
    objective: jax.Array


def spherical(
    key: jax.Array, rows: jax.Array, num_clusters: int, iterations: int = 20, restarts: int = 1
) -> Clusters:
    """The best of `restarts` runs of `iterations` rounds each.

    Memory is about two arrays (N, K); restarts run one after the other.

    Args:
      key: random key, from which the initial centres are drawn.
      rows: (N, D) unit rows, finite, N >= K; a zero row counts towards any cluster.
      num_clusters: number of clusters K.
      iterations: number of k-means iterations; 0 keeps the initial centres.
      restarts: number of independent starts; the clustering with the largest objective is kept.

    Raises:
      ValueError: fewer rows than clusters.
    """
    if len(rows) < num_clusters:
        raise ValueError(f"{num_clusters} clusters need as many rows, got {len(rows)}")

    def run(key):
        centres = _seeds(key, rows, num_clusters)
        centres = jax.lax.fori_loop(0, iterations, lambda _, c: _moved(rows, c), centres)
        assignment, closeness = _assigned(rows, centres)
        return Clusters(centres, assignment, jnp.mean(closeness))

    candidates = jax.lax.map(run, jax.random.split(key, restarts))
    # The first of the best: two seeds often lead to one clustering with its clusters in another
    # order, and rounding must not decide between them.
    best = jnp.argmax(candidates.objective >= jnp.max(candidates.objective) - _SAME)
    return jax.tree.map(lambda x: x[best], candidates)


def _seeds(key: jax.Array, rows: jax.Array, num_clusters: int) -> jax.Array:
    """(K, D): rows drawn with probability in proportion to 1 - cosine to the seeds so far."""

    def draw(k, carry):
        seeds, closeness = carry
        noise = jax.random.gumbel(jax.random.fold_in(key, k), (len(rows),), rows.dtype)
        distance = jnp.maximum(1.0 - closeness, 0.0)
        seed = rows[jnp.argmax(jnp.log(distance) + noise)]  # if all rows are seeds: the first
        return seeds.at[k].set(seed), jnp.maximum(closeness, matmul(rows, seed))

    first = rows[jax.random.randint(jax.random.fold_in(key, 0), (), 0, len(rows))]
    seeds = jnp.zeros((num_clusters, rows.shape[1]), rows.dtype).at[0].set(first)
    return jax.lax.fori_loop(1, num_clusters, draw, (seeds, matmul(rows, first)))[0]


def _assigned(rows: jax.Array, centres: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest centre of each row (N,) and the cosine to it (N,)."""
    cosine = matmul(rows, centres.T)  # (N, K)
    return jnp.argmax(cosine, axis=1).astype(jnp.int32), jnp.max(cosine, axis=1)


def _moved(rows: jax.Array, centres: jax.Array) -> jax.Array:
    """Unit means of the rows nearest to each centre (K, D); an empty cluster takes a lost row.

    "Lost" rows are those farthest from their own centre, each given to one empty cluster.
    """
    num_clusters = len(centres)
    assignment, closeness = _assigned(rows, centres)
    # A product, not a scatter: scattered sums differ from run to run on GPUs.
    member = jax.nn.one_hot(assignment, num_clusters, dtype=rows.dtype)  # (N, K)
    total = matmul(member.T, rows)  # (K, D)
    empty = jnp.sum(total * total, axis=1) <= NORM_FLOOR**2
    _, lost = jax.lax.top_k(-closeness, num_clusters)
    replacement = rows[lost[jnp.maximum(jnp.cumsum(empty) - 1, 0)]]  # (K, D)
    return jnp.where(empty[:, None], replacement, l2_normalize(total))
