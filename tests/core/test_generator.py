"""A seed means the same whatever JAX's own defaults are."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from adapt_jax.core import generator

SHOW = """
import jax, json
from adapt_jax.core import generator
generator.fix_settings()
key = generator.key(4294967295)
drawn = jax.random.normal(jax.random.fold_in(key, 3), (4,))
back = generator.from_data(jax.random.key_data(key))
print(json.dumps([str(drawn.dtype), drawn.tolist(), bool((key == back).all())]))
"""


@pytest.mark.parametrize(
    "surroundings",
    [
        {
            "JAX_DEFAULT_PRNG_IMPL": "rbg",
            "JAX_THREEFRY_PARTITIONABLE": "0",
            "JAX_ENABLE_X64": "1",
        },
        {"JAX_DEFAULT_PRNG_IMPL": "unsafe_rbg", "JAX_ENABLE_CUSTOM_PRNG": "1"},
    ],
)
def test_the_environment_does_not_change_what_a_seed_gives(surroundings):
    env = os.environ | {"JAX_PLATFORMS": "cpu"} | surroundings
    command = [sys.executable, "-c", SHOW]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
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
