"""Any number of rows, in any split, through one compiled shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax.core.blocks import map_rows


@pytest.mark.parametrize("n", [1, 3, 4, 5, 11])
def test_values_order_and_one_shape(n):
    shapes = []

    @jax.jit
    def double(rows):
        shapes.append(rows.shape)
        return 2 * rows[:, 0]

    rows = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    np.testing.assert_array_equal(map_rows(double, rows, 4), 2 * rows[:, 0])
    assert shapes == [(4, 3)]


def test_dtypes(x64):
    def keep(rows):
        return jnp.asarray(rows)

    for given, expected in [("int32", "float64"), ("float16", "float32"), ("float64", "float64")]:
        assert map_rows(keep, np.ones((2, 1), given), 2).dtype in (expected, "float32")
    assert map_rows(keep, np.ones((2, 1)), 2).dtype == "float64"


def test_several_arrays_go_together():
    a, b = np.arange(7.0), np.arange(14).reshape(7, 2)
    result = map_rows(lambda ab: ab[0] + ab[1].sum(axis=1), (a, b), 3)
    np.testing.assert_array_equal(result, (a + b.sum(axis=1)).astype(np.float32))
