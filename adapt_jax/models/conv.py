"""Convolution with a backward pass that stays fast inside a loop on XLA's CPU backend.

On CPU, XLA loses its fast path for the backward convolutions that autodiff makes as soon as they
sit inside a loop (jax-ml/jax#12868): a scanned training step is some 30 times slower than a
straight one. Here the input gradient is an ordinary forward convolution and the weight gradient one
matrix product, which a loop does not slow down. On accelerators the plain one is the right choice.

In bfloat16, autodiff rounds the weight gradient to bfloat16, over several devices each one's share,
and XLA for TPU sums those in bfloat16 too. "wide" keeps the gradient in float32 all the way.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")


class Backward(NamedTuple):
    """How the backward pass of a convolution is computed.

    kind: "xla" (autodiff), "wide" (the same, the weight gradient in at least float32),
      "matmul_backward" (matrix products), or "auto": the last on CPU, "wide" on TPU, else "xla".
    chunk: images per piece of the weight gradient in "matmul_backward". A small piece stays in the
      cache and needs no extra memory, but cuts across a batch sharded over devices; None takes the
      batch whole. "auto": 4 where there is one device, else None.
    """

    kind: Literal["auto", "xla", "wide", "matmul_backward"] = "auto"
    chunk: int | Literal["auto"] | None = "auto"

    def resolve(self) -> "Backward":
        """The choice for this process's devices. Call while tracing: it starts the backend."""
        kind, chunk = self
        if kind == "auto":
            kinds: dict[str, Literal["wide", "matmul_backward"]]
            kinds = {"cpu": "matmul_backward", "tpu": "wide"}
            kind = kinds.get(jax.default_backend(), "xla")
        if chunk == "auto":
            chunk = 4 if jax.device_count() == 1 else None
        return Backward(kind, chunk)


def conv2d(
    x: jax.Array, kernel: jax.Array, *, stride: int = 1, backward: Backward | None = None
) -> jax.Array:
    """Square convolution, padded by `(k - 1) // 2` on every side (k odd), computed in `x.dtype`.

    x (N, H, W, I), kernel (k, k, I, O) -> (N, (H - 1) // stride + 1, (W - 1) // stride + 1, O).

    The padding is symmetric, as PyTorch's: "SAME" would pad a strided convolution on one side only.
    """
    kind, chunk = (backward or Backward()).resolve()
    if kind == "xla":
        return _forward(x, kernel.astype(x.dtype), stride)
    if kind == "wide":
        return _wide(x, kernel, stride)
    return _conv(x, kernel, stride, chunk)


def _forward(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    pad = (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=_LAYOUT
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _wide(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return _forward(x, kernel.astype(x.dtype), stride)


def _wide_fwd(x, kernel, stride):
    return _wide(x, kernel, stride), (x, kernel)


def _wide_bwd(stride, residuals, g):
    x, kernel = residuals
    (dx,) = jax.linear_transpose(lambda x: _forward(x, kernel.astype(x.dtype), stride), x)(g)
    # Autodiff's own: channels as the batch, images summed over, g as the kernel.
    k, pad = kernel.shape[0], (kernel.shape[0] - 1) // 2
    pads = [
        (pad, (m - 1) * stride + k - n - pad)
        for n, m in zip(x.shape[1:3], g.shape[1:3], strict=True)
    ]
    dk = lax.conv_general_dilated(
        x,
        g,
        (1, 1),
        pads,
        rhs_dilation=(stride, stride),
        dimension_numbers=("CHWN", "IHWO", "HWNC"),
        preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )
    return dx, dk.astype(kernel.dtype)


_wide.defvjp(_wide_fwd, _wide_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x: jax.Array, kernel: jax.Array, stride: int, chunk: int | None) -> jax.Array:
    # The kernel is cast in here, so that its gradient leaves in the kernel's own (wider) type.
    return _forward(x, kernel.astype(x.dtype), stride)


def _conv_fwd(x, kernel, stride, chunk):
    return _conv(x, kernel, stride, chunk), (x, kernel)


def _conv_bwd(stride, chunk, residuals, g):
    x, kernel = residuals
    dx = _input_gradient(g, kernel.astype(g.dtype), x.shape, stride)
    dk = _weight_gradient(x, g, kernel.shape[0], stride, chunk)
    return dx, dk.astype(kernel.dtype)


_conv.defvjp(_conv_fwd, _conv_bwd)


def _input_gradient(g, kernel, shape, stride):
    """Zeros between the entries of g, then a forward convolution with the transposed kernel."""
    k = kernel.shape[0]
    pad = (k - 1) // 2
    transposed = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)  # (k, k, O, I)
    if stride == 1:  # H = Ho and pad = k - 1 - pad
        return _forward(g, transposed, 1)
    # What reaches beyond the last stuffed entry: rows of x the stride skipped, and its padding.
    low = k - 1 - pad
    rows, cols = (
        (low, n - 1 - (m - 1) * stride + pad, stride - 1)
        for n, m in zip(shape[1:3], g.shape[1:3], strict=True)
    )
    stuffing = ((0, 0, 0), rows, cols, (0, 0, 0))
    zero = jnp.zeros((), g.dtype)
    if k == 1:  # a 1x1 kernel mixes channels only: zeros need not be multiplied
        return lax.pad(_forward(g, transposed, 1), zero, stuffing)
    stuffed = lax.pad(g, zero, stuffing)
    return lax.conv_general_dilated(stuffed, transposed, (1, 1), "VALID", dimension_numbers=_LAYOUT)


def _weight_gradient(x, g, k, stride, chunk):
    """(k, k, I, O), at least float32: shifted slices of x times g, summed over all positions."""
    n = x.shape[0]
    if chunk is None or chunk >= n:
        return _weight_gradient_whole(x, g, k, stride)
    pieces, rest = divmod(n, chunk)
    split = pieces * chunk

    def add(total, piece):
        return total + _weight_gradient_whole(*piece, k, stride), None

    zero = jnp.zeros((k, k, x.shape[-1], g.shape[-1]), jnp.promote_types(x.dtype, jnp.float32))
    xs = tuple(a[:split].reshape(pieces, chunk, *a.shape[1:]) for a in (x, g))
    total, _ = lax.scan(add, zero, xs)
    if rest:
        total += _weight_gradient_whole(x[split:], g[split:], k, stride)
    return total


def _weight_gradient_whole(x, g, k, stride):
    pad = (k - 1) // 2
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    n, rows, cols, channels = x.shape[0], g.shape[1], g.shape[2], x.shape[3]

    def shifted(i, j):  # (N, Ho, Wo, I): what kernel entry (i, j) saw
        last = (n, i + (rows - 1) * stride + 1, j + (cols - 1) * stride + 1, channels)
        return lax.slice(x, (0, i, j, 0), last, (1, stride, stride, 1))

    patches = jnp.concatenate([shifted(i, j) for i in range(k) for j in range(k)], axis=-1)
    positions = ((0, 1, 2), (0, 1, 2))
    dk = lax.dot_general(
        patches,
        g,
        (positions, ((), ())),
        preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )
    return dk.reshape(k, k, channels, g.shape[-1])
