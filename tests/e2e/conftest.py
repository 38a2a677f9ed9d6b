"""Runs of tests use one device; the tests of sharding ask for more themselves."""

import json

import jax
import numpy as np
import pytest

from adapt_jax import train
from adapt_jax.config import effects
from adapt_jax.config.diff import flatten
from adapt_jax.core import generator
from adapt_jax.report import page
from adapt_jax.runtime import sharding
from adapt_jax.training.device_feed import DeviceFeed


@pytest.fixture(autouse=True, scope="module")
def _one_device():
    with pytest.MonkeyPatch.context() as patch:
        every = sharding.make_mesh
        patch.setattr(
            sharding, "make_mesh", lambda devices=None: every(devices or jax.devices()[:1])
        )
        yield


@pytest.fixture
def no_page(monkeypatch):
    """Evaluations leave report.html out: drawing it takes longer than some of them."""
    monkeypatch.setattr(page, "write", lambda *_: None)


@pytest.fixture(scope="module")
def one_program():
    """Runs in this process that take the same steps, whatever their seed, share what is compiled.

    Those of one seed share the state before the first step as well. The tests of commands compile
    and make it anew whenever a run is started or resumed.
    """
    kept, compiled, hook, initial = {}, train._compiled_feed, train.epoch_hook, train.initial_state

    def steps_of(experiment, *others):
        fields = flatten(experiment.config.to_dict())
        steps = {k: v for k, v in fields.items() if effects.effect(k) == effects.Effect.TRAJECTORY}
        besides = experiment.plan.longest_dispatch, experiment.data.train.content_sha256
        return json.dumps([steps | {"seed": None}, besides, str(experiment.mesh), *others])

    def once(experiment, *others):
        _, trace, _ = others
        assert not trace.wanted
        key = steps_of(experiment, "feed")
        if key not in kept:
            kept[key] = compiled(experiment, *others)
            assert isinstance(kept[key], DeviceFeed)  # closing it leaves it as it is
        return kept[key]

    def hook_once(experiment):
        key = steps_of(experiment, "hook")
        if key not in kept:
            kept[key] = hook(experiment)
        return kept[key]

    def state_once(experiment):
        seed = experiment.config.seed
        key = steps_of(experiment, "state", seed)
        if key not in kept:
            kept[key] = jax.tree.map(np.array, initial(experiment)._replace(key=None))
        state = jax.tree.map(np.array, kept[key])._replace(key=generator.key(seed))
        return sharding.replicate(experiment.mesh, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_compiled_feed", once)
        patch.setattr(train, "epoch_hook", hook_once)
        patch.setattr(train, "initial_state", state_once)
        yield
