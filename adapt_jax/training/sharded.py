"""The step and the loop over a mesh of devices."""

import jax
import numpy as np

from adapt_jax.runtime import sharding
from adapt_jax.training import train_loop, train_step
from adapt_jax.training.parts import Parts
from adapt_jax.training.plan import Plan

Metrics = dict[str, np.ndarray]


def sharded_step(parts: Parts, mesh, microbatches: int = 1) -> train_step.Step:
    """The step of a run, over the mesh.

    Args:
      parts: the network, method, optimiser, schedule and augmentation.
      mesh: the devices the batch is split over.
      microbatches: number of microbatches that a batch is split into.
    """
    whole = sharding.replicated(mesh)
    return train_step.make_step(
        parts,
        replicate=lambda x: jax.lax.with_sharding_constraint(x, whole),
        num_microbatches=microbatches,
    )


def sharded_loop(step: train_step.Step, plan: Plan, mesh, max_steps: int):
    """`train_loop.make_loop` over the mesh, jitted; the state it is given is used up.

    Args:
      step: the step function, from `sharded_step`.
      plan: the plan, of which the number of images and the batch size are used.
      mesh: the devices the batch is split over.
      max_steps: largest number of steps of one dispatch.
    """
    whole, split = sharding.replicated(mesh), sharding.over_batch(mesh)
    loop = train_loop.make_loop(
        step,
        batch_size=plan.batch_size,
        num_images=plan.num_images,
        max_steps=max_steps,
        shard=lambda x: jax.lax.with_sharding_constraint(x, split),
    )
    return jax.jit(loop, donate_argnums=0, out_shardings=whole)
