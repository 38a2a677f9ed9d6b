"""The layers a ResNet is made of: convolution, batch normalisation as PyTorch keeps it, linear.

Their parameters are declared as zeros: `initialize.py` is the one place that gives them values,
because a traced `module.init` costs more than compiling the training step.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from adapt_jax.core.arrays import matmul
from adapt_jax.core.errors import InputError
from adapt_jax.models.conv import Backward, conv2d

EPSILON = 1e-5
MOMENTUM = 0.9  # of the old value; PyTorch calls this 0.1


class Conv(nn.Module):
    """Square convolution without bias, computed in the dtype of its input."""

    features: int
    kernel_size: int
    stride: int = 1
    backward: Backward = Backward()

    @nn.compact
    def __call__(self, x: jax.Array, gain: jax.Array | None = None) -> jax.Array:
        """(N, H, W, I) -> (N, Ho, Wo, features), times `gain` (features,) if that is given."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.zeros, shape, jnp.float32)
        if gain is not None:
            kernel = kernel.astype(gain.dtype) * _per_channel(gain)
        return conv2d(x, kernel, stride=self.stride, backward=self.backward)


class BatchNorm(nn.Module):
    """Batch normalisation over the whole (global) batch, with PyTorch's running statistics.

    The running variance is the unbiased one, n / (n - 1) times the variance that normalises; Flax
    keeps the biased one. Statistics are computed in float32 (float64 for float64 inputs).

    Both moments come from one pass over x, which memory bounds on an accelerator: the variance is
    E[(x - s)^2] - E[x - s]^2, in exact arithmetic for any s. With s = 0 cancellation loses about
    (mean / std)^2 ulps; with s the running mean ((mean - s) / std)^2, next to none once the running
    mean has come near, and s costs neither a second pass nor a collective.

    relu: whether max(., 0) follows. As one layer, its backward pass needs x alone.
    """

    relu: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, conv: Conv | None = None) -> jax.Array:
        """(N, H, W, C) -> the same shape and dtype; with `train`, updates "batch_stats".

        With `conv`, x is the input of this convolution and what it makes of x is normalised. The
        running statistics are then part of its kernel, which spares a pass over its output.
        """
        c = x.shape[-1] if conv is None else conv.features
        scale = self.param("scale", nn.initializers.ones, (c,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (c,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (c,), jnp.float32)

        wide = jnp.promote_types(x.dtype, jnp.float32)
        scale, bias, mean, var = (
            v.astype(wide) for v in (scale, bias, running_mean.value, running_var.value)
        )
        if train:
            x = x if conv is None else conv(x)
            y, mean, var = _normalised(x, scale, bias, mean, self.relu)
            _update(running_mean, running_var, mean, var, count=x.size // c)
            return y
        gain = scale * jax.lax.rsqrt(var + EPSILON)
        if conv is None:
            return _affine(x, mean, gain, bias, self.relu)
        y = conv(x, gain) + _per_channel((bias - mean * gain).astype(x.dtype))
        return nn.relu(y) if self.relu else y


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _normalised(x, scale, bias, shift, relu: bool):
    """Normalised by the batch: y, and its mean and variance, through which no gradient goes.

    Autodiff keeps what it can and takes three sums in three passes. Here the backward pass reads
    the input and the gradient twice: for two sums, and for the gradient of the input.
    """
    return _normalised_fwd(x, scale, bias, shift, relu)[0]


def _normalised_fwd(x, scale, bias, shift, relu):
    mean, var = batch_moments(x.astype(scale.dtype), shift)
    inverse = jax.lax.rsqrt(var + EPSILON)
    y = _affine(x, mean, scale * inverse, bias, relu)
    return (y, mean, var), (x, mean, inverse, scale, bias)


def _normalised_bwd(relu, kept, slopes):
    x, mean, inverse, scale, bias = kept
    gain, slope = scale * inverse, slopes[0].astype(scale.dtype)
    if relu:
        slope = jnp.where(_affine(x, mean, gain, bias, False) > 0, slope, 0)
    unit = (x.astype(scale.dtype) - _per_channel(mean)) * _per_channel(inverse)
    to_bias = jnp.sum(slope, axis=(0, 1, 2))
    to_scale = jnp.sum(slope * unit, axis=(0, 1, 2))
    constant = (_per_channel(to_bias) + unit * _per_channel(to_scale)) / (x.size // x.shape[-1])
    to_x = _per_channel(gain) * (slope - constant)
    return to_x.astype(x.dtype), to_scale, to_bias, jnp.zeros_like(mean)


_normalised.defvjp(_normalised_fwd, _normalised_bwd)


def _affine(x, mean, gain, bias, relu: bool) -> jax.Array:
    """In x's dtype; computed in that of the vectors (C,)."""
    y = (x.astype(gain.dtype) - _per_channel(mean)) * _per_channel(gain) + _per_channel(bias)
    return (nn.relu(y) if relu else y).astype(x.dtype)


@jax.custom_vjp
def relu_of_sum(x: jax.Array, y: jax.Array) -> jax.Array:
    """`relu(x + y)`, whose backward pass reads the result, which is kept anyway, not x and y."""
    return nn.relu(x + y)


def _relu_of_sum_fwd(x, y):
    # The barrier keeps XLA from computing it again, from two arrays, where one is there.
    out = jax.lax.optimization_barrier(nn.relu(x + y))
    return out, out


def _relu_of_sum_bwd(out, slope):
    slope = jnp.where(out > 0, slope, 0)
    return slope, slope


relu_of_sum.defvjp(_relu_of_sum_fwd, _relu_of_sum_bwd)


def batch_moments(x: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of x (N, H, W, C) per channel; `shift` (C,) is near the mean."""
    shift = jax.lax.stop_gradient(shift)  # the moments do not depend on it
    centred = x - _per_channel(shift)
    mean = jnp.mean(centred, axis=(0, 1, 2))
    square = jnp.mean(centred * centred, axis=(0, 1, 2))
    return mean + shift, jnp.maximum(square - mean * mean, 0.0)


def _update(running_mean, running_var, mean, var, count):
    if count < 2:
        raise InputError(
            "batch normalisation has one value per channel to train on; use a larger batch or image"
        )
    for running, batch in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
        old = running.value
        new = MOMENTUM * old.astype(batch.dtype) + (1 - MOMENTUM) * jax.lax.stop_gradient(batch)
        running.value = new.astype(old.dtype)


def _per_channel(v):
    return v.reshape(1, 1, 1, -1)


class Linear(nn.Module):
    """Affine map at full float32 precision: heads are small, and scores are read from them."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, F) -> (N, features)."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.zeros, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return matmul(x, kernel.astype(x.dtype)) + bias.astype(x.dtype).reshape(1, -1)
