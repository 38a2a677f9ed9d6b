"""States whose arrays are one or two vectors: the same steps, the same trees before and after."""

import jax
import numpy as np
import optax

from adapt_jax.training import optimizers, packed
from tests.training import test_train_step as steps

pack, unpack = jax.jit(packed.pack), jax.jit(packed.unpack)
pack_state, unpack_state = jax.jit(packed.pack_state), jax.jit(packed.unpack_state)


def test_packing_is_undone_exactly():
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": {"c": np.array(7.0)}, "d": np.zeros((0,))}
    tree["e"], tree["f"] = np.ones((1, 2)), np.array([8.0, 9.0])
    together = pack(tree)
    np.testing.assert_array_equal(together.vectors[True], [7, 8, 9])
    np.testing.assert_array_equal(together.vectors[False], [0, 1, 2, 3, 4, 5, 1, 1])
    back = unpack(together)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, back, tree)
    assert packed.unpack(tree) is tree


def test_arrays_of_several_types_stay_apart():
    tree = {"a": np.zeros(2), "b": np.zeros(2, np.int32)}
    assert packed.pack(tree) is tree
    assert packed.pack({}) == {}


def test_a_packed_state_takes_the_same_step():
    state, step = steps.setup()
    images, labels = steps.data(4)
    state, _ = step(state, images, labels)  # so that there is a momentum
    together = pack_state(state)
    assert isinstance(together.params, packed.Packed)
    assert len(jax.tree.leaves(together.opt_state)) == 1
    expected, metrics = step(state, images, labels)
    found, same = step(together, images, labels)
    assert jax.tree.structure(found) == jax.tree.structure(together)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6)  # noqa: E731
    found = unpack_state(found)
    jax.tree.map(close, found.params, expected.params)
    jax.tree.map(close, found.opt_state, expected.opt_state)
    jax.tree.map(close, found.batch_stats, expected.batch_stats)
    jax.tree.map(close, same, metrics)


def test_a_packed_step_that_is_not_finite_changes_nothing():
    state, step = steps.setup(rate=3e38)
    large = jax.tree.map(lambda m: np.full(m.shape, 3e38, m.dtype), state.opt_state)
    state = state._replace(opt_state=large)
    images, labels = steps.data(4)
    after, metrics = step(pack_state(state), images, labels)
    assert metrics["skipped"] == 1
    jax.tree.map(np.testing.assert_array_equal, unpack_state(after).params, state.params)


def test_frozen_parameters_stay_a_tree():
    state, _ = steps.setup()
    params = {"a": np.zeros(2), "b": np.zeros(3)}
    optimizer = optimizers.only(optax.trace(0.9), lambda params: {"a": True, "b": False})
    state = state._replace(params=params, opt_state=optimizer.init(params))
    assert packed.pack_state(state) is state
