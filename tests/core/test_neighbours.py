"""The blocked search against a full sort in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax.core.neighbours import in_blocks, kth_squared_distance, largest_products, make_bank


def _oracle(queries, bank, k):
    square = ((queries[:, None].astype(np.float64) - bank[None].astype(np.float64)) ** 2).sum(-1)
    return np.sort(square, axis=1)[:, k - 1]


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@partial(jax.jit, static_argnums=2)
def _distances(queries, bank, ks):
    """As one program: operation by operation it would be many."""
    return [kth_squared_distance(queries, bank, k) for k in ks]


@pytest.mark.parametrize("block", [7, 50, 100, 101, 1000])
def test_every_block_size_gives_the_full_sort(block):
    bank, queries = _normal(0, 101, 6), _normal(1, 9, 6)
    ks = (1, 3, 60, 101)
    for k, got in zip(ks, _distances(queries, make_bank(bank, block), ks), strict=True):
        np.testing.assert_allclose(got, _oracle(queries, bank, k), rtol=2e-6, err_msg=f"{k=}")


def test_padding_never_is_a_neighbour():
    """Two blocks of 3 hold 4 rows; the 4th nearest must be the far row, not a row of zeros."""
    bank = np.array([[5, 0], [6, 0], [7, 0], [90, 0]], np.float32)
    (got,) = _distances(np.zeros((1, 2), np.float32), make_bank(bank, 3), (4,))
    assert float(got[0]) == 8100.0


def test_ties_count_separately():
    bank = np.repeat(_normal(2, 3, 4), 5, axis=0)  # each row five times
    queries = bank[:1]
    found = [float(d[0]) for d in _distances(queries, make_bank(bank, 4), tuple(range(1, 16)))]
    assert found[:5] == [0.0] * 5
    assert found[5] > 0
    np.testing.assert_allclose(
        found, [_oracle(queries, bank, k)[0] for k in range(1, 16)], rtol=1e-6
    )


def test_a_large_common_offset_costs_no_digits():
    bank, queries = _normal(3, 200, 5) + 1000, _normal(4, 20, 5) + 1000
    (got,) = _distances(queries, make_bank(bank, 64), (2,))
    np.testing.assert_allclose(got, _oracle(queries, bank, 2), rtol=2e-3)


def test_float64_stays_float64(x64):
    rng = np.random.default_rng(5)
    bank, queries = rng.normal(size=(80, 6)), rng.normal(size=(7, 6))
    (got,) = _distances(queries, make_bank(bank, 33), (9,))
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, _oracle(queries, bank, 9), rtol=1e-12)


def test_largest_products_say_which_rows_they_are():
    rows, queries = _normal(6, 23, 5), _normal(7, 4, 5)
    blocks = in_blocks(rows, lambda part, where: 2 * rows[where], block=6)
    assert blocks.shape == (4, 6, 5)
    np.testing.assert_array_equal(blocks.reshape(24, 5), np.concatenate([2 * rows, 0 * rows[:1]]))
    penalty = np.zeros((4, 6), np.float32)
    penalty[-1, -1] = np.inf
    values, indices = jax.jit(largest_products, static_argnums=3)(queries, blocks, penalty, 23)
    order = np.argsort(-queries @ rows.T, axis=1)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(
        values, np.take_along_axis(2 * queries @ rows.T, order, 1), rtol=1e-5, atol=1e-6
    )
