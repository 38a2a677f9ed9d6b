"""The training loop as accelerators run it, compiled for simulated devices: what it computes.

Nothing runs and no data is needed: arguments are shapes. The convolutions are the ones for
accelerators (bfloat16, XLA's own backward pass), whatever this machine is.
"""

import copy
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adapt_jax import models
from adapt_jax.experiment import build, derived
from adapt_jax.runtime import sharding
from adapt_jax.training import sharded, train_state
from adapt_jax.training.parts import Parts
from benchmarks import hlo_collectives
from benchmarks.hlo_collectives import Collective

# Nothing runs here, so the machine code may be poor; the program in HLO is the same.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Cost(NamedTuple):
    """FLOPs, and bytes to and from memory, by the compiler's own analysis."""

    flops: float
    bytes: float


class Program(NamedTuple):
    """One step of the loop on `devices` devices.

    batch: images of the global batch. collectives: of each device. flops: by the compiler, of each
    device. network_flops: three times the forward products of every view, over all devices.
    parameters: how many. loss: cost of the loss and its gradient, which every device computes for
    the whole batch.
    """

    devices: int
    batch: int
    collectives: list[Collective]
    flops: float
    network_flops: float
    parameters: int
    loss: Cost


class Data(NamedTuple):
    """What the program depends on of the training images."""

    num_images: int
    num_classes: int


def parts_for(config, mesh, data: Data) -> Parts:
    """The run's parts, with the network that accelerators compute."""
    config = copy.deepcopy(config)
    if config.model.dtype == "auto":
        config.model.dtype = "bfloat16"
    parts = build.make_parts(config, mesh=mesh, mean_std=None, **data._asdict())
    model = models.make(
        config.model.name,
        width=config.model.width,
        blocks=tuple(config.model.blocks) or None,
        stem=config.model.stem,
        embedding_dim=config.model.embedding_dim,
        num_classes=data.num_classes,
        head="mlp" if parts.method.reads == "embeddings" else "linear",
        feature_norm=config.model.feature_norm or None,
        trainable=config.model.trainable,
        frozen_batch_norm=config.model.frozen_batch_norm,
        dtype=config.model.dtype,
        conv="wide" if mesh.devices.flat[0].platform == "tpu" else "xla",
        remat=config.model.remat,
    )
    return parts._replace(model=model)


def abstract_state(config, parts, place) -> train_state.TrainState:
    """Shapes of the state; `place(shape, dtype)` makes them."""
    image = (config.image_size, config.image_size, 3)

    def create():
        return train_state.create(jax.random.key(0), parts, image)

    return jax.tree.map(lambda x: place(x.shape, x.dtype), jax.eval_shape(create))


def compile_loop(config, mesh, data: Data):
    """The compiled loop."""
    whole = sharding.replicated(mesh)

    def place(shape, dtype):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=whole)

    parts = parts_for(config, mesh, data)
    sides = (config.image_size, config.image_size, 3)
    arguments = (
        abstract_state(config, parts, place),
        place((data.num_images, *sides), jnp.uint8),
        place((data.num_images,), jnp.int32),
        place((), jnp.int32),
    )
    step = sharded.sharded_step(parts, mesh, config.microbatches)
    plan = derived.plan_of(config, data.num_images)
    loop = sharded.sharded_loop(step, plan, mesh, config.log_every)
    lowered = loop.lower(*arguments)
    cpu = mesh.devices.flat[0].platform == "cpu"
    return lowered.compile(compiler_options=QUICK if cpu else None)


def loss_cost(config, parts, device) -> Cost:
    """Of the loss of the whole batch and its gradient towards the embeddings, on one device."""
    whole = jax.sharding.SingleDeviceSharding(device)
    width = parts.model.embedding_dim or parts.model.num_classes

    def place(shape, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=whole)

    state = jax.eval_shape(lambda: parts.method.init(jax.random.key(0)))
    loss = jax.value_and_grad(parts.method.loss, has_aux=True)
    lowered = jax.jit(loss).lower(
        place((config.views, config.batch_size, width)),
        place((config.batch_size,), jnp.int32),
        jax.tree.map(lambda x: place(x.shape, x.dtype), state),
    )
    return _cost(lowered.compile(compiler_options=QUICK))


def analyse(config, mesh, data: Data) -> Program:
    """Compiles the config's loop for the mesh and reads it.

    Raises:
      InputError: the batch does not split evenly.
    """
    sharding.check_batch(mesh, config.batch_size)
    compiled = compile_loop(config, mesh, data)
    return alone(config, data)._replace(
        devices=mesh.size,
        collectives=hlo_collectives.per_step(compiled.as_text()),
        flops=_cost(compiled).flops,
    )


def alone(config, data: Data) -> Program:
    """What can be said of one device without compiling the loop: no collectives, no `flops`."""
    device = jax.devices("cpu")[0]
    parts = parts_for(config, sharding.make_mesh([device]), data)
    state = abstract_state(config, parts, jax.ShapeDtypeStruct)
    forward = parts.model.flops_per_image(config.image_size, config.image_size)
    return Program(
        devices=1,
        batch=config.batch_size,
        collectives=[],
        flops=float("nan"),
        network_flops=3 * forward * config.batch_size * config.views,
        parameters=sum(x.size for x in jax.tree.leaves(state.params)),
        loss=loss_cost(config, parts, device),
    )


def _cost(compiled) -> Cost:
    analysis = compiled.cost_analysis()
    return Cost(analysis["flops"], analysis["bytes accessed"])
