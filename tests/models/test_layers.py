import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.models.layers import BatchNorm, Conv, Linear, batch_moments, relu_of_sum
from tests.models.rounding import slack


def variables(mean, var, scale=1.0, bias=0.0):
    c, dtype = len(mean), jnp.result_type(float)
    params = {"scale": np.full(c, scale, dtype), "bias": np.full(c, bias, dtype)}
    moments = {"mean": np.array(mean, dtype), "var": np.array(var, dtype)}
    return {"params": params, "batch_stats": moments}


def run(layer, variables, x, *train, mutable=False):
    """A layer applied as one program."""
    return jax.jit(lambda v, x: layer.apply(v, x, *train, mutable=mutable))(variables, x)


def sample(shape=(3, 4, 5, 2), offset=0.0):
    x = np.random.default_rng(0).standard_normal(shape) * [1.0, 3.0] + [offset, -offset]
    return x.astype(np.float32)


def test_training_normalises_by_the_batch_and_keeps_the_unbiased_variance():
    x = sample(offset=0.5)
    state = variables([1.0, 2.0], [3.0, 4.0], scale=2.0, bias=0.25)
    y, new = run(BatchNorm(), state, x, True, mutable=["batch_stats"])
    wide = x.astype(np.float64)
    mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    np.testing.assert_allclose(y, 2 * (wide - mean) / np.sqrt(var + 1e-5) + 0.25, atol=3e-6)
    unbiased = wide.var((0, 1, 2), ddof=1)
    stats = new["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.9 * np.array([1, 2]) + 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 * np.array([3, 4]) + 0.1 * unbiased, rtol=1e-6)


def test_evaluation_uses_the_running_statistics():
    x = sample()
    y = run(BatchNorm(), variables([1.0, 2.0], [3.0, 4.0]), x, False)
    np.testing.assert_allclose(y, (x - [1, 2]) / np.sqrt(np.add([3, 4], 1e-5)), atol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("relu", [False, True])
def test_the_gradient_is_the_one_of_the_formula(relu):
    x = sample(offset=0.5).astype(np.float64)
    state = variables(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    params = {"scale": np.array([1.5, -2.0]), "bias": np.array([0.3, 0.1])}
    weights = np.cos(np.arange(x.size)).reshape(x.shape)

    def layer(x, params):
        y, _ = BatchNorm(relu).apply(state | {"params": params}, x, True, mutable=["batch_stats"])
        return jnp.sum(weights * y)

    def formula(x, params):
        centred = x - x.mean((0, 1, 2))[None, None, None]
        deviation = jnp.sqrt((centred**2).mean((0, 1, 2)) + 1e-5)
        y = centred * (params["scale"] / deviation)[None, None, None]
        y += params["bias"][None, None, None]
        return jnp.sum(weights * (jnp.maximum(y, 0) if relu else y))

    both = jax.jit(lambda *a: [jax.grad(f, argnums=(0, 1))(*a) for f in (layer, formula)])
    found, expected = both(x, params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), found, expected)


@pytest.mark.parametrize("relu", [False, True])
def test_running_statistics_become_part_of_the_convolution(relu):
    x = np.random.default_rng(1).standard_normal((2, 5, 5, 3)).astype(np.float32)
    kernel = np.sin(np.arange(54, dtype=np.float32)).reshape(3, 3, 3, 2)
    conv = Conv(2, 3, stride=2).bind({"params": {"kernel": kernel}})
    state = variables([1.0, 2.0], [3.0, 4.0], scale=2.0, bias=0.25)
    norm = BatchNorm(relu)

    @jax.jit
    def both(state, x):
        return norm.apply(state, conv(x), False), norm.apply(state, x, False, conv)

    np.testing.assert_allclose(*both(state, x), atol=2e-6)


def test_the_gradient_of_a_sum_cut_off_at_zero():
    x, y = np.float32([1.0, -3.0, 0.0, 2.0]), np.float32([1.0, 1.0, 0.0, -1.0])
    weights = np.float32([1.0, 2.0, 3.0, 4.0])
    total = lambda x, y: jnp.sum(weights * relu_of_sum(x, y))  # noqa: E731
    value, gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(x, y)
    assert value == 2 + 4
    np.testing.assert_array_equal(gradients, [[1, 0, 0, 4]] * 2)


def test_variance_survives_a_mean_a_thousand_times_the_deviation():
    x = sample((8, 16, 16, 2), offset=1000.0)
    exact = x.astype(np.float64).var((0, 1, 2))
    moments = jax.jit(batch_moments)
    _, near = moments(x, np.float32([990.0, -990.0]))
    np.testing.assert_allclose(near, exact, rtol=1e-4)
    _, unshifted = moments(x, np.zeros(2, np.float32))
    assert np.abs(unshifted / exact - 1).max() > 1e-2  # what the shift is for


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_constant_channels_stay_finite(offset):
    x = np.full((2, 3, 3, 2), offset, np.float32)

    def total(x):
        return jnp.sum(
            BatchNorm().apply(variables([0.0, 0.0], [1.0, 1.0]), x, True, mutable=True)[0]
        )

    value, gradient = jax.jit(jax.value_and_grad(total))(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_one_value_per_channel_cannot_be_trained_on():
    with pytest.raises(InputError, match="larger batch"):
        BatchNorm().apply(variables([0.0], [1.0]), jnp.ones((1, 1, 1, 1)), True, mutable=True)


def test_bfloat16_statistics_are_float32():
    x = sample((64, 32, 32, 2)).astype(jnp.bfloat16)
    y, new = run(BatchNorm(), variables([0.0, 0.0], [1.0, 1.0]), x, True, mutable=True)
    assert y.dtype == jnp.bfloat16
    exact = np.asarray(x, np.float64).var((0, 1, 2), ddof=1)
    var = new["batch_stats"]["var"]
    np.testing.assert_allclose(var, 0.9 + 0.1 * exact, rtol=1e-5 * slack())


def test_linear():
    params = {"kernel": np.array([[1.0, 2, 3], [4, 5, 6]]), "bias": np.array([1.0, 0, -1])}
    y = run(Linear(3), {"params": params}, np.array([[1.0, 10.0]]))
    np.testing.assert_array_equal(y, [[42.0, 52.0, 62.0]])
