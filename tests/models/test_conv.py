from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax.models.conv import Backward, conv2d

MINE = Backward("matmul_backward", None)
AUTODIFF = Backward("xla", None)
WIDE = Backward("wide", None)


@partial(jax.jit, static_argnames=("stride", "backward"))
def gradients(x, kernel, g, stride, backward):
    """Output and gradients towards x and the kernel for the cotangent g."""
    y, pull = jax.vjp(lambda x, k: conv2d(x, k, stride=stride, backward=backward), x, kernel)
    return (y, *pull(g.astype(y.dtype)))


def case(k, stride, shape=(5, 9, 6, 3), out=4, dtype=np.float32):
    rng = np.random.default_rng(10 * k + stride)
    n, h, w, c = shape
    g = rng.standard_normal((n, (h - 1) // stride + 1, (w - 1) // stride + 1, out))
    x, kernel = rng.standard_normal(shape), rng.standard_normal((k, k, c, out))
    return tuple(a.astype(dtype) for a in (x, kernel, g))


def assert_equal_to(expected, actual, tolerance):
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (1, 3), (5, 3)])
@pytest.mark.parametrize("shape", [(5, 9, 6, 3), (2, 7, 8, 1)])
def test_gradients_equal_autodiff(k, stride, shape):
    x, kernel, g = case(k, stride, shape)
    expected = gradients(x, kernel, g, stride, AUTODIFF)
    assert_equal_to(expected, gradients(x, kernel, g, stride, MINE), 2e-6)
    assert_equal_to(expected, gradients(x, kernel, g, stride, WIDE), 2e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("k", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_gradients_equal_autodiff_in_float64(k, stride):
    x, kernel, g = case(k, stride, dtype=np.float64)
    expected = gradients(x, kernel, g, stride, AUTODIFF)
    assert expected[0].dtype == np.float64
    for chunk in (None, 2):
        backward = Backward("matmul_backward", chunk)
        assert_equal_to(expected, gradients(x, kernel, g, stride, backward), 1e-14)


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 100])  # of 7 images: evenly, with a rest, whole
@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 2)])
def test_chunked_equals_whole(k, stride, chunk):
    x, kernel, g = case(k, stride, (7, 6, 9, 2))
    expected = gradients(x, kernel, g, stride, MINE)
    actual = gradients(x, kernel, g, stride, Backward("matmul_backward", chunk))
    assert_equal_to(expected, actual, 2e-6)


def test_padding_is_symmetric():
    """A strided kernel that reads only its first corner sees the padding, then odd pixels."""
    x = np.arange(1.0, 17.0, dtype=np.float32).reshape(1, 4, 4, 1)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 0] = 1.0
    y = jax.jit(partial(conv2d, stride=2, backward=MINE))(x, kernel)
    np.testing.assert_array_equal(np.asarray(y)[0, :, :, 0], [[0, 0], [0, 6]])


def test_bfloat16_sums_the_kernel_gradient_in_float32():
    """4096 equal terms of 1 would stop at 256 in a bfloat16 sum."""
    x, kernel = np.ones((4, 32, 32, 1), jnp.bfloat16), np.ones((1, 1, 1, 1), np.float32)
    g = np.ones((4, 32, 32, 1), jnp.bfloat16)
    for chunk in (None, 1):
        y, dx, dk = gradients(x, kernel, g, 1, Backward("matmul_backward", chunk))
        assert (y.dtype, dx.dtype, dk.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32)
        assert dk.item() == 4096


@pytest.mark.parametrize(("backward", "dtype"), [(WIDE, jnp.float32), (AUTODIFF, jnp.bfloat16)])
def test_the_type_the_kernel_gradient_is_summed_over_devices_in(backward, dtype):
    """That of the product itself: the sum comes before any conversion. The CPU hides it."""
    x, kernel, g = case(3, 2, dtype=jnp.bfloat16)
    kernel = kernel.astype(jnp.float32)
    traced = jax.make_jaxpr(lambda *a: gradients.__wrapped__(*a, 2, backward))(x, kernel, g)
    outputs = [e.outvars[0].aval for e in traced.eqns if e.primitive.name == "conv_general_dilated"]
    assert [y.dtype for y in outputs if y.shape == kernel.shape] == [dtype]
    assert traced.out_avals[2].dtype == jnp.float32


def test_auto_is_resolved_for_the_devices_there_are():
    assert Backward("auto", "auto").resolve() == Backward("matmul_backward", None)  # 8 CPU devices
    assert Backward("xla", 3).resolve() == Backward("xla", 3)
