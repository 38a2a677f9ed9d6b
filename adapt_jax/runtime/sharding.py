"""One mesh of devices and a global batch: the only module that decides where arrays are stored.

Every job runs the same jitted functions; the batch axis is sharded over the mesh axis "data" and
everything else is replicated, so losses, Sinkhorn, moving averages and BatchNorm statistics are
over the global batch by construction.
"""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from adapt_jax.core.errors import InputError

AXIS = "data"


def make_mesh(devices=None) -> Mesh:
    """A one-axis mesh over `devices` (default: all of them, of every process)."""
    devices = np.asarray(jax.devices() if devices is None else devices)
    # Auto: with explicit axes, jax.make_mesh's default, `z @ z.T` on a sharded batch is an error
    # instead of an all-gather.
    return Mesh(devices, (AXIS,), axis_types=(AxisType.Auto,))


def own_mesh() -> Mesh:
    """A mesh of the devices of this process alone, for jobs where every process does its share."""
    return make_mesh(jax.local_devices() if jax.process_count() > 1 else None)


def described(mesh: Mesh) -> str:
    """The mesh in words: "8 x TPU v4, 2 processes"."""
    kind = f"{mesh.size} x {mesh.devices.flat[0].device_kind}"
    return kind if jax.process_count() == 1 else f"{kind}, {jax.process_count()} processes"


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The leading axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicate(mesh: Mesh, tree):
    """Copies a tree of host arrays to every device; each process must hold the same values."""
    sharding = replicated(mesh)

    def place(x):
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.device_put(x, sharding)
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(place, tree)


def shard_batch(mesh: Mesh, array: np.ndarray) -> jax.Array:
    """Splits a host array, the same on every process, over its leading axis."""
    return jax.make_array_from_callback(array.shape, over_batch(mesh), lambda index: array[index])


def local_rows(mesh: Mesh, count: int) -> np.ndarray:
    """Which rows of a batch of `count` lie on devices of this process, ascending."""
    shares = over_batch(mesh).addressable_devices_indices_map((count,)).values()
    return np.unique(np.concatenate([np.arange(count)[share] for share in shares]))


def from_local_rows(mesh: Mesh, count: int, rows: np.ndarray, values: np.ndarray) -> jax.Array:
    """A batch of `count`, split over its leading axis, of which each process has its own rows.

    Args:
      mesh: the devices.
      count: number of rows of the whole batch.
      rows: indices of this process's rows, from `local_rows`.
      values: content (len(rows), ...) of these rows.
    """

    def share(index):
        start, stop, _ = index[0].indices(count)
        first = np.searchsorted(rows, start)
        return values[first : first + stop - start]

    return jax.make_array_from_callback((count, *values.shape[1:]), over_batch(mesh), share)


def check_batch(mesh: Mesh, batch_size: int, num_microbatches: int = 1) -> None:
    """Raises InputError unless every part of the global batch splits evenly over the devices."""
    if batch_size % (mesh.size * num_microbatches):
        over = f" times {num_microbatches} microbatches" if num_microbatches > 1 else ""
        raise InputError(
            f"batch_size {batch_size} is not divisible by the {mesh.size} devices{over}; "
            f"use a multiple of {mesh.size * num_microbatches}"
        )
