"""Many arrays as one vector, so that what is done to each of them is one operation.

The update and the check that everything is finite touch each of a hundred small arrays: as many
kernels on an accelerator, whose launches cost more than their work. Inside the loop over steps the
state is packed; outside it is a tree of arrays, as checkpoints hold it.
"""

import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp

from adapt_jax.training.train_state import TrainState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packed:
    """A tree of arrays of one dtype as a pytree with one leaf, which optimisers work on as it is.

    vector (N,): the arrays one after the other. structure, shapes: of the tree.
    """

    vector: jax.Array
    structure: Any = dataclasses.field(metadata={"static": True})
    shapes: tuple[tuple[int, ...], ...] = dataclasses.field(metadata={"static": True})


def pack(tree: Any) -> Any:
    """The tree as one vector; as it is where its arrays are of several dtypes, or none."""
    leaves, structure = jax.tree.flatten(tree)
    if len({leaf.dtype for leaf in leaves}) != 1:
        return tree
    vector = jnp.concatenate([leaf.ravel() for leaf in leaves])
    return Packed(vector, structure, tuple(leaf.shape for leaf in leaves))


def unpack(tree: Any) -> Any:
    """The tree that was packed; any other tree as it is."""
    if not isinstance(tree, Packed):
        return tree
    ends = list(itertools.accumulate(map(math.prod, tree.shapes)))
    parts = jnp.split(tree.vector, ends[:-1])
    leaves = [part.reshape(shape) for part, shape in zip(parts, tree.shapes, strict=True)]
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
