"""What `methods/` and the zero-shot detectors take from `core/` mixes no dtypes either.

conftest.py makes promotion strict; tracing a function, with its gradient, is enough to see it.
"""

import jax
import jax.numpy as jnp
import pytest

from adapt_jax.core import arrays, assignment, grouping, kmeans, prototypes, sequential, views

FLOAT = jnp.float32
LABELS = jax.ShapeDtypeStruct((6,), jnp.int32)
ROWS = jax.ShapeDtypeStruct((6, 4), FLOAT)
WEIGHTS = jax.ShapeDtypeStruct((6, 2), FLOAT)
PROTOTYPES = jax.ShapeDtypeStruct((2, 3, 4), FLOAT)
KEY = jax.eval_shape(lambda: jax.random.key(0))

CASES = {
    "l2_normalize": (arrays.l2_normalize, ROWS),
    "l1_normalize": (arrays.l1_normalize, ROWS),
    "sinkhorn": (lambda x: assignment.sinkhorn(x, 0.05, 3), ROWS),
    "init_uniform": (lambda key: prototypes.init_uniform(key, 2, 3, 4), KEY),
    "own_assignment": (
        lambda f, y, p: prototypes.own_assignment(f, y, p, 0.05, 3),
        ROWS,
        LABELS,
        PROTOTYPES,
    ),
    "select": (lambda own: prototypes.select(own, 1)[1], WEIGHTS),
    "weighted_sums": (
        lambda w, f, y: prototypes.weighted_sums(w, f, y, 3),
        WEIGHTS,
        ROWS,
        LABELS,
    ),
    "moving_average": (lambda p: prototypes.moving_average(p, p, 0.9), PROTOTYPES),
    "contrast": (lambda p: prototypes.contrast(p, 0.5), PROTOTYPES),
    "keep_if_finite": (prototypes.keep_if_finite, PROTOTYPES, PROTOTYPES, ROWS),
    "sequential": (
        lambda p, f, y: sequential.moving_average(p, f, y, 0.9),
        jax.ShapeDtypeStruct((3, 4), FLOAT),
        ROWS,
        LABELS,
    ),
    "flatten": (
        lambda x, y: views.flatten(x, y)[0],
        jax.ShapeDtypeStruct((2, 6, 4), FLOAT),
        LABELS,
    ),
    "kmeans": (lambda key, x: kmeans.spherical(key, x, 2).centres, KEY, ROWS),
    "id_share": (
        grouping.id_share,
        ROWS,
        ROWS,
        jax.ShapeDtypeStruct((2, 3), jnp.int32),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_float32_in_float32_out(case):
    function, *inputs = CASES[case]
    assert jax.eval_shape(function, *inputs).dtype == FLOAT
    floating = [i for i, x in enumerate(inputs) if x.dtype == FLOAT]
    gradient = jax.grad(lambda *xs: jnp.sum(function(*xs)), floating) if floating else function
    jax.eval_shape(gradient, *inputs)


def test_a_mix_would_be_seen():
    with pytest.raises(ValueError, match="implicit dtype promotion"):
        jax.eval_shape(lambda x, y: x * y, ROWS, jax.ShapeDtypeStruct((6, 1), jnp.int32))
