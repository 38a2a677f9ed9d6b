"""When methods see the whole training set, and what of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import methods, train
from adapt_jax.experiment import checks, derived, record
from adapt_jax.methods import cider
from adapt_jax.runtime import sharding
from tests.e2e import small


def setup(name, devices=1, **params):
    """Config, parts, state before step 0 and the hook for 96 digits in batches of 32."""
    chosen = small.config(
        method={"name": name, "params": methods.defaults(name) | params},
        train_data="digits:train?classes=0-5&limit=96",
        batch_size=32,
        model__dtype="float64" if jax.config.jax_enable_x64 else "auto",
    )
    mesh = sharding.make_mesh(jax.devices()[:devices])
    experiment = record.make(chosen, checks.load_data(chosen), mesh)
    state = train.initial_state(experiment)
    return experiment.data.train, experiment.parts, state, train.epoch_hook(experiment)


def untrained_embeddings(train_set, parts, state, config_mean_std):
    mean, std = config_mean_std
    images = (train_set.images / 255.0 - np.asarray(mean)) / np.asarray(std)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    apply = jax.jit(parts.model.apply, static_argnames="train")
    outputs, _ = apply(variables, images.astype(parts.dtype), train=False)
    return outputs.embeddings


def test_cider_starts_from_class_means_at_step_zero_only():
    train_set, parts, state, hook = setup("cider")
    new = hook(state, 0)
    mean_std = derived.mean_std(small.config(), train_set)
    embeddings = untrained_embeddings(train_set, parts, state, mean_std)
    class_means = jax.jit(cider.class_means, static_argnums=2)
    wanted = class_means(embeddings, train_set.labels, 6)
    np.testing.assert_allclose(new.method_state.prototypes, wanted.prototypes, atol=1e-5)
    for step in (1, 3):  # the middle of an epoch, and the beginning of the second
        assert hook(state, step) is state


def test_methods_without_either_are_left_alone():
    _, _, state, hook = setup("supcon")
    assert hook(state, 0) is state


def test_clusterings_fall_on_the_epochs_that_are_due():
    _, _, state, hook = setup("ccl", num_clusters=5, warmup_epochs=1, refresh_period=2)
    due = [step for step in range(16) if hook(state, step) is not state]
    assert due == [3, 9, 15]  # 3 steps per epoch: epochs 1, 3 and 5
    first, again, later = hook(state, 3), hook(state, 3), hook(state, 9)
    jax.tree.map(np.testing.assert_array_equal, first.method_state, again.method_state)
    assert not np.array_equal(first.method_state.assignment, later.method_state.assignment)


@pytest.mark.usefixtures("x64")
def test_eight_devices_cluster_as_one_does():
    states = []
    for devices in (1, 8):
        _, _, state, hook = setup("ccl", devices, num_clusters=7, warmup_epochs=0)
        states.append(hook(state, 0).method_state)
    one, eight = states
    assert len(eight.centres.sharding.device_set) == 8
    assert eight.centres.dtype == jnp.float64
    np.testing.assert_array_equal(one.assignment, eight.assignment)
    np.testing.assert_allclose(one.centres, eight.centres, atol=1e-12)
