"""Eight CPU devices for every test, and no silent broadcasting between ranks."""

import contextlib
import pathlib

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden():
    """Loads a recorded case by name: `golden("adapt_k0")["features"]`."""
    return lambda name: np.load(GOLDEN / f"{name}.npz")


@pytest.fixture
def x64():
    """Runs the test in double precision."""
    with enable_x64():
        yield


def enable_x64() -> contextlib.AbstractContextManager:
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return jax.experimental.enable_x64()
