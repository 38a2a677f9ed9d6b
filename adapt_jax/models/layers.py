"""The layers a ResNet is made of: convolution, batch normalisation as PyTorch keeps it, linear.

Their parameters are declared as zeros: `initialize.py` is the one place that gives them values,
because a traced `module.init` costs more than compiling the training step.
"""

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
    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, H, W, I) -> (N, Ho, Wo, features)."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.zeros, shape, jnp.float32)
        return conv2d(x, kernel, stride=self.stride, backward=self.backward)


class BatchNorm(nn.Module):
    """Batch normalisation over the whole (global) batch, with PyTorch's running statistics.

    The running variance is the unbiased one, n / (n - 1) times the variance that normalises; Flax
    keeps the biased one. Statistics are computed in float32 (float64 for float64 inputs).

    Both moments come from one pass over x, which memory bounds on an accelerator: the variance is
    E[(x - s)^2] - E[x - s]^2, in exact arithmetic for any s. With s = 0 cancellation loses about
    (mean / std)^2 ulps; with s the running mean ((mean - s) / std)^2, next to none once the running
    mean has come near, and s costs neither a second pass nor a collective.
    """

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, C) -> the same shape and dtype; with `train`, updates "batch_stats"."""
        c = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (c,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (c,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (c,), jnp.float32)

        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean, var = (s.value.astype(wide.dtype) for s in (running_mean, running_var))
        if train:
            mean, var = batch_moments(wide, shift=mean)
            _update(running_mean, running_var, mean, var, count=x.size // c)
        gain = scale.astype(wide.dtype) * jax.lax.rsqrt(var + EPSILON)
        y = (wide - _per_channel(mean)) * _per_channel(gain) + _per_channel(bias.astype(wide.dtype))
        return y.astype(x.dtype)


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
