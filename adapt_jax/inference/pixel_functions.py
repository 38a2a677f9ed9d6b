"""Runs functions of a network and its pixels over image sets, as gradient detectors need it."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.data import augment
from adapt_jax.detectors import Head, Network
from adapt_jax.models.base import Model
from adapt_jax.runtime import sharding

_IN_CACHE = 64  # images for which the outputs of a layer stay in the cache of a CPU


def make(
    model: Model,
    variables,
    mean_std,
    mesh,
    batch_size: int,
    images: Mapping[str, np.ndarray],
) -> Callable[[Callable], Callable[..., np.ndarray]]:
    """Builds `on_images(function)(name, limit=None)`.

    `function(network, pixels (B, H, W, 3)) -> (B,)`, or a tree of such arrays, is jitted once and
    run over the named set's images (`limit` of them, drawn at random) in padded batches, sharded
    over the mesh; every image counts once.

    Args:
      model: the network, run in evaluation mode, with a linear classifier; computing in float32,
        because a perturbation of 0.001 vanishes in bfloat16.
      variables: the network's parameters and statistics.
      mean_std: channel means and deviations that pixels are normalised with, on the scale 0..1.
      mesh: the devices the batch is split over.
      batch_size: number of images per call over all devices; on a CPU at most 64 for each, what
        fits in its cache.
      images: images (N, H, W, 3) uint8, by name of the set.
    """
    if mesh.devices.flat[0].platform == "cpu":
        batch_size = min(batch_size, _IN_CACHE * mesh.size)
    batch_size = -(-batch_size // mesh.size) * mesh.size
    normalize = augment.make_normalize(*mean_std)
    std = jnp.asarray(mean_std[1], jnp.float32)

    def on_images(function):
        @jax.jit
        def call(variables, batch):
            def forward(pixels):
                outputs, _ = model.apply(variables, pixels, train=False)
                wide = jnp.promote_types(outputs.logits.dtype, jnp.float32)
                return outputs.features.astype(wide), outputs.logits.astype(wide)

            network = Network(forward, Head(*model.classifier(variables)), std)
            with jax.default_matmul_precision("highest"):
                return function(network, normalize(batch))

        def over(name: str, limit: int | None = None) -> np.ndarray:
            selected, parts = images[name], []
            if limit is not None and limit < len(selected):  # sets are often sorted by class
                some = np.random.default_rng(0).choice(len(selected), limit, replace=False)
                selected = selected[np.sort(some)]
            for start in range(0, len(selected), batch_size):
                batch = np.asarray(selected[start : start + batch_size])
                missing = batch_size - len(batch)
                padded = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0)))
                values = call(variables, sharding.shard_batch(mesh, padded))
                count = len(batch)
                parts.append(jax.tree.map(lambda x, count=count: np.asarray(x)[:count], values))
            return jax.tree.map(lambda *x: np.concatenate(x), *parts)

        return over

    return on_images
