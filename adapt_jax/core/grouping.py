"""Random groups of negative labels, and the share of the ID labels in each group's softmax.

NegLabel (Jiang et al. 2024, section 3.3; XueJiang16/NegLabel, YBZh/OpenOOD-VLM).
"""

import jax
import jax.numpy as jnp
import numpy as np


def torch_permutation(count: int, seed: int | np.random.RandomState) -> np.ndarray:
    """What PyTorch's CPU generator, seeded with `seed`, draws as `randperm(count)`: (count,) int32.

    A RandomState instead of a seed goes on where the permutation before it ended.

    Forward Fisher-Yates on successive 32-bit words w_i of a Mersenne Twister with the classic
    integer seeding: swap i with i + w_i mod (count - i).
    """
    swaps = max(count - 1, 0)
    random = seed if isinstance(seed, np.random.RandomState) else np.random.RandomState(seed)
    words = np.frombuffer(random.bytes(4 * swaps), "<u4")
    offsets = words % np.arange(count, count - swaps, -1, dtype=np.uint32)
    order = list(range(count))
    for i, offset in enumerate(offsets.tolist()):
        order[i], order[i + offset] = order[i + offset], order[i]
    return np.array(order, np.int32)


def split(count: int, groups: int, seed: int | None) -> np.ndarray:
    """Puts `count` negatives into `groups` groups of equal size: (groups, count // groups) int32.

    The last `count % groups` are left out, which are the most similar to ID within the list that
    mining puts last; the others are shuffled by `torch_permutation(kept, seed)`, or stay in order
    when `seed` is None.
    """
    kept = count - count % groups
    order = np.arange(kept, dtype=np.int32) if seed is None else torch_permutation(kept, seed)
    return order.reshape(groups, -1)


def id_share(labels: jax.Array, negatives: jax.Array, groups: jax.Array) -> jax.Array:
    """Mean over groups of the softmax mass that ID labels hold against one group of negatives.

    With P the log-sum-exp of the ID logits and Q_g that of group g: mean_g sigmoid(P - Q_g).

    Args:
      labels: logits (C, B) of the ID labels; images are last, so that picking a group copies
        whole rows.
      negatives: logits (M, B) of the negative labels.
      groups: integers (G, S), the rows of `negatives` in each group.

    Returns:
      (B,) in [0, 1].
    """
    positive = jax.nn.logsumexp(labels, axis=0)  # (B,)
    negative = jax.nn.logsumexp(negatives[groups], axis=1)  # (G, B)
    return jnp.mean(jax.nn.sigmoid(positive[None] - negative), axis=0)
