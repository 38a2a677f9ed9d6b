"""Norms with a floor, products in full precision, and rows evenly through the data."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.errors import InputError

Array = np.ndarray | jax.Array  # on the host or on a device
HIGHEST = jax.lax.Precision.HIGHEST
NORM_FLOOR = 1e-12
UNIT_TOLERANCE = 1e-2  # rows normalised in float16 are off by up to 1e-3


def working_dtype(dtype) -> jnp.dtype:
    """What the device computes in for data of `dtype`: at least float32; float64 only under x64."""
    with jax.numpy_dtype_promotion("standard"):  # whatever the caller set: widening is the point
        return jax.dtypes.canonicalize_dtype(jnp.promote_types(dtype, jnp.float32))


def float64() -> contextlib.AbstractContextManager:
    """A context in which what is float64 stays so; outside it JAX reads it as float32."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return jax.experimental.enable_x64()  # type: ignore[attr-defined]  # before JAX 0.8


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` indices, evenly through the data (which may be sorted by class)."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def traced(tree) -> bool:
    """Whether any array in `tree` is being traced, so that its values are not there to look at."""
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tree))


def matmul(a: Array, b: Array) -> jax.Array:
    """`a @ b` at full float32 precision on every device.

    TPUs (bfloat16 passes) and NVIDIA GPUs (TF32) round the operands of a float32 product by
    default; divided by a temperature of 0.1 or 0.05 that error is no longer small.
    """
    return jnp.matmul(a, b, precision=HIGHEST)


def l2_normalize(x: jax.Array, axis: int = -1, floor: float = NORM_FLOOR) -> jax.Array:
    """`x / max(||x||_2, floor)` along `axis`; zero vectors stay zero, with a zero gradient."""
    square = jnp.sum(x * x, axis=axis, keepdims=True)
    small = square <= floor * floor
    # Two wheres: the untaken square root of 0 would otherwise give a NaN gradient.
    norm = jnp.where(small, floor, jnp.sqrt(jnp.where(small, 1.0, square)))
    return x / norm


def l1_normalize(x: jax.Array, axis: int = -1, floor: float = NORM_FLOOR) -> jax.Array:
    """`x / max(sum |x|, floor)` along `axis`."""
    return x / jnp.maximum(jnp.sum(jnp.abs(x), axis=axis, keepdims=True), floor)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) on the host scaled to unit length, at least float32; zero rows stay zero."""
    rows = rows.astype(working_dtype(rows.dtype), copy=False)
    return rows / np.maximum(_norms(rows), NORM_FLOOR)[:, None].astype(rows.dtype)


def checked_unit_rows(rows: Array, where: str, width: int | None = None) -> np.ndarray:
    """The rows on the host, unchanged, if their length is one up to float16's rounding.

    Args:
      rows: array (N, D).
      where: description of the rows for the error message.
      width: required number of columns D; None accepts any.

    Raises:
      InputError: another shape, or rows of another length (the first is named).
    """
    checked = np.asarray(rows)
    if checked.ndim != 2 or checked.shape[1] != (checked.shape[1] if width is None else width):
        raise InputError(f"{where} must have shape (N, {width or 'D'}), got {checked.shape}")
    norms = _norms(checked)
    wrong = np.flatnonzero(~(np.abs(norms - 1) <= UNIT_TOLERANCE))
    if wrong.size:
        raise InputError(
            f"{where} must be unit rows, but {wrong.size} of {len(checked)} are not "
            f"(row {wrong[0]} has norm {norms[wrong[0]]:.4g}); normalise them"
        )
    return checked


def _norms(rows: np.ndarray) -> np.ndarray:
    """Lengths (N,) float64 of rows (N, D)."""
    return np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))


def on_device(values: Array | float, dtype=None) -> jax.Array:
    """A copy of values of the host on the device, in `dtype` if one is given.

    The host converts and copies: on the device, each shape would be a program to compile, and on a
    CPU `device_put` may take an array's own memory, which is the caller's, whatever `may_alias`.
    """
    with np.errstate(over="ignore"):  # infinite, as the device says
        return jax.device_put(np.array(values, dtype))


def to_host(tree):
    """A tree of device arrays as NumPy arrays."""
    return jax.tree.map(np.asarray, tree)
