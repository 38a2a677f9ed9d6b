"""How exact sums are here: on CPUs, the XLA of jax 0.7 adds one value after the other."""

import functools

import jax
import numpy as np


@functools.cache
def slack() -> float:
    """What tolerances are multiplied by; 1 where a long sum is nearly as exact as float32 can be.

    The mean over the first three axes of (64, 32, 32, 8) float32 values is off by 3e-6 with jax
    0.7.2 and by 8e-8 with jax 0.12.0, of its size.
    """
    values = np.random.default_rng(0).normal(1, 1, (64, 32, 32, 8)).astype(np.float32)
    exact = values.mean((0, 1, 2), dtype=np.float64)
    off = np.abs(jax.jit(lambda x: x.mean((0, 1, 2)))(values) / exact - 1).max()
    return 1.0 if off < 1e-6 else 5.0
