"""Many arrays as one or two vectors, so that what is done to each of them is one operation.

The update and the check that everything is finite touch each of a hundred small arrays: as many
kernels on an accelerator, whose launches cost more than their work. Inside the loop over steps the
state is packed; outside it is a tree of arrays, as checkpoints hold it.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from adapt_jax.training.train_state import TrainState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packed:
    """A tree of arrays of one dtype as a pytree of few leaves, which optimisers work on as it is.

    vectors: arrays one after the other, (N,); under True those of fewer than two dimensions.
    structure, shapes: of the tree.
    """

    vectors: dict[bool, jax.Array]
    structure: Any = dataclasses.field(metadata={"static": True})
    shapes: tuple[tuple[int, ...], ...] = dataclasses.field(metadata={"static": True})


def _small(shape: tuple[int, ...]) -> bool:
    # XLA for GPUs reads a part of a short vector where it is needed, but copies that of a long one.
    return len(shape) < 2


def pack(tree: Any) -> Any:
    """The tree as one vector or two; as it is where its arrays are of several dtypes, or none."""
    leaves, structure = jax.tree.flatten(tree)
    if len({leaf.dtype for leaf in leaves}) != 1:
        return tree
    groups: dict[bool, list[jax.Array]] = {}
    for leaf in leaves:
        groups.setdefault(_small(leaf.shape), []).append(leaf.ravel())
    vectors = {kind: jnp.concatenate(group) for kind, group in groups.items()}
    return Packed(vectors, structure, tuple(leaf.shape for leaf in leaves))


def unpack(tree: Any) -> Any:
    """The tree that was packed; any other tree as it is."""
    if not isinstance(tree, Packed):
        return tree
    leaves, start = [], dict.fromkeys(tree.vectors, 0)
    for shape in tree.shapes:
        kind = _small(shape)
        end = start[kind] + math.prod(shape)
        leaves.append(jax.lax.slice(tree.vectors[kind], (start[kind],), (end,)).reshape(shape))
        start[kind] = end
    return jax.tree.unflatten(tree.structure, leaves)


def like(tree: Any, example: Any) -> Any:
    """The tree, packed if `example` is."""
    return pack(tree) if isinstance(example, Packed) else tree


def pack_state(state: TrainState) -> TrainState:
    """A state whose parameters, what the optimiser keeps for them, and statistics are packed.

    As it is where the optimiser keeps nothing of the form of the parameters, as when some of them
    are frozen.
    """
    structure = jax.tree.structure(state.params)

    def of_params(tree):
        return jax.tree.structure(tree) == structure

    kept = jax.tree.leaves(state.opt_state, is_leaf=of_params)
    if not any(map(of_params, kept)):
        return state
    return state._replace(
        params=pack(state.params),
        batch_stats=pack(state.batch_stats),
        opt_state=jax.tree.map(
            lambda t: pack(t) if of_params(t) else t, state.opt_state, is_leaf=of_params
        ),
    )


def unpack_state(state: TrainState) -> TrainState:
    """The state that was packed."""
    packed = lambda tree: isinstance(tree, Packed)  # noqa: E731
    return jax.tree.map(unpack, state, is_leaf=packed)
