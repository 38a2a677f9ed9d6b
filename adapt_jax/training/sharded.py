"""The step and the loop over a mesh of devices."""

import jax
import numpy as np

from adapt_jax.experiment import derived
from adapt_jax.runtime import sharding
from adapt_jax.training import train_loop, train_step
from adapt_jax.training.parts import Parts

Metrics = dict[str, np.ndarray]


def sharded_step(config, parts: Parts, mesh) -> train_step.Step:
    """The step of a config, over the mesh."""
    whole = sharding.replicated(mesh)
    return train_step.make_step(
        parts.model,
        parts.method,
        parts.optimizer,
        parts.schedule,
        parts.augment,
        replicate=lambda x: jax.lax.with_sharding_constraint(x, whole),
        parts=config.microbatches,
    )


def sharded_loop(config, mesh, step: train_step.Step, num_images: int, max_steps: int):
    """`train_loop.make_loop` over the mesh, jitted; the state it is given is used up."""
    whole, split = sharding.replicated(mesh), sharding.over_batch(mesh)
    loop = train_loop.make_loop(
        step,
        batch_size=config.batch_size,
        num_images=num_images,
        max_steps=max_steps,
        shard=lambda x: jax.lax.with_sharding_constraint(x, split),
    )
    return jax.jit(loop, donate_argnums=0, out_shardings=whole)


def longest_dispatch(config, num_images: int) -> int:
    """The most steps between two things that happen between steps."""
    per_epoch = train_loop.steps_per_epoch(num_images, config.batch_size)
    total = derived.total_steps(config, num_images)
    return min(config.log_every, config.checkpoint_every, per_epoch, total)
