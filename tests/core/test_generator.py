"""A seed means the same whatever JAX's own defaults are."""

import json
import os

import jax
import numpy as np
import pytest

from adapt_jax.core import generator
from tests import commands


@pytest.mark.parametrize(
    "surroundings",
    [
        {"JAX_DEFAULT_PRNG_IMPL": "rbg"},
        {"JAX_THREEFRY_PARTITIONABLE": "0", "JAX_ENABLE_X64": "1"},
        {"JAX_DEFAULT_PRNG_IMPL": "unsafe_rbg", "JAX_ENABLE_CUSTOM_PRNG": "1"},
    ],
)
def test_the_environment_does_not_change_what_a_seed_gives(surroundings):
    env = os.environ | {"JAX_PLATFORMS": "cpu"} | surroundings
    done = commands.run("tests.core.show_draw", env=env)
    assert done.returncode == 0, done.stderr
    kind, drawn, same = json.loads(done.stdout)
    expected = jax.random.normal(jax.random.fold_in(generator.key(4294967295), 3), (4,))
    assert (kind, same) == ("float32", True)
    np.testing.assert_array_equal(np.float32(drawn), expected)


def test_double_precision_is_for_those_who_ask(monkeypatch):
    set_to = {}
    monkeypatch.setattr(jax.config, "update", lambda name, value: set_to.update({name: value}))
    generator.fix_settings()
    assert set_to["jax_enable_x64"] is False
    generator.use_double_precision()
    assert set_to["jax_enable_x64"] is True
