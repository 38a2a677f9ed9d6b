"""One forward pass over a set of images, every image counted once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.models.base import Model
from adapt_jax.runtime import processes, sharding

Arrays = dict[str, np.ndarray]  # features (N, F), embeddings (N, D) or logits (N, C), labels (N,)
Profile = Callable[[Callable, Callable], Callable]  # see `profiling.calls`
Extract = Callable[[np.ndarray], Arrays]
ExtractForAny = Callable[[Any, np.ndarray], Arrays]


def make(
    model: Model, variables, normalize, mesh, batch_size: int, profile: Profile | None = None
) -> Extract:
    """Builds `extract(images (N, H, W, 3) uint8) -> {"features": ..., ...}`.

    Args:
      model: the network, run in evaluation mode.
      variables: the network's parameters and statistics, replicated over the mesh.
      normalize: function from uint8 images to the network's input.
      mesh: the devices the batch is split over.
      batch_size: number of images per pass over all devices, rounded up to a multiple of the number
        of devices; the last batch is padded.
      profile: function that wraps the compiled pass to profile it, see `profiling.trace.calls`.
    """
    return partial(make_for_any(model, normalize, mesh, batch_size, profile), variables)


def make_for_any(
    model: Model, normalize, mesh, batch_size: int, profile: Profile | None = None
) -> ExtractForAny:
    """The same for variables that change: `extract(variables, images)`, compiled once."""
    batch_size = -(-batch_size // mesh.size) * mesh.size

    def forward(variables, images):
        with jax.named_scope("forward"):
            outputs, _ = model.apply(variables, normalize(images), train=False)
        named = {k: v for k, v in outputs._asdict().items() if v is not None}
        return jax.tree.map(lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), named)

    forward = jax.jit(forward, out_shardings=sharding.replicated(mesh))
    if profile is not None:
        forward = profile(forward, forward.lower)

    rows = sharding.local_rows(mesh, batch_size)

    def read(images, start):  # this process's share of a batch
        wanted = start + rows
        there = np.asarray(images[wanted[wanted < len(images)]])
        return np.pad(there, ((0, len(rows) - len(there)), (0, 0), (0, 0), (0, 0)))

    def extract(variables, images):
        parts = []
        with ThreadPoolExecutor(1) as ahead:  # reads while the network works
            coming = ahead.submit(read, images, 0)
            for start in range(0, len(images), batch_size):
                try:
                    local = coming.result()
                except InputError as e:  # of this process's share; the others are in a step
                    processes.leave_alone(e)
                    raise
                batch = sharding.from_local_rows(mesh, batch_size, rows, local)
                coming = ahead.submit(read, images, start + batch_size)
                out = forward(variables, batch)
                count = min(batch_size, len(images) - start)
                parts.append({k: np.asarray(v)[:count] for k, v in out.items()})
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}

    return extract
