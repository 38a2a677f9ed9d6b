"""Seconds of a training step, its loss and its update on one device of this machine.

    python -m benchmarks.training_step --config=configs/cifar100_adapt.py --num_classes=100

Runs the real loop on random images. Run it alone on the machine.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from adapt_jax.core.arrays import l2_normalize
from adapt_jax.experiment import build, derived
from adapt_jax.runtime import cli, sharding
from adapt_jax.training import sharded, train_state, train_step


def main() -> None:
    config, classes = cli.required(CONFIG), NUM_CLASSES.value
    mesh = sharding.make_mesh(jax.devices()[:1])
    parts = build.make_parts(
        config, mesh=mesh, num_classes=classes, num_images=NUM_IMAGES.value, mean_std=None
    )
    plan, key = derived.plan_of(config, NUM_IMAGES.value), jax.random.key(0)

    sides = (config.image_size, config.image_size, 3)
    state = train_state.create(jax.random.key(config.seed), parts, sides)
    state = sharding.replicate(mesh, state)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (NUM_IMAGES.value, *sides), dtype=np.uint8)
    labels = train_step.loss_labels(parts.method, np.arange(len(images)) % classes, len(images))
    given = sharding.replicate(mesh, (images, labels))
    step = sharded.sharded_step(parts, mesh, config.microbatches)
    loop = sharded.sharded_loop(step, plan, mesh, STEPS.value)
    update, loss = _update(parts), _loss(parts)
    width = parts.model.embedding_dim or classes
    shape = (config.views, config.batch_size, width)
    embeddings = l2_normalize(jax.random.normal(key, shape))
    params, opt_state, kept = jax.tree.map(
        jnp.copy, (state.params, state.opt_state, state.method_state)
    )  # the loop's state is donated to it
    seconds = {
        "loss": _seconds(loss, (embeddings, kept), given[1][: config.batch_size]),
        "update": _seconds(update, (params, opt_state)),
        "step": _seconds(lambda *args: loop(*args)[0], state, *given),
    }
    device = sharding.described(mesh)
    print(f"{device}, jax {jax.__version__}: {config.batch_size} images x {config.views} views")
    print(*(f"{name} {1e3 * value:.4g} ms" for name, value in seconds.items()), sep=", ")


def _loss(parts):
    """Repeats the loss and its gradient; each round's embeddings depend on the round before."""
    gradient = jax.value_and_grad(parts.method.loss, has_aux=True)

    def body(labels, carry):
        embeddings, state = carry
        (_, (state, _)), slope = gradient(embeddings, labels, state)
        return l2_normalize(embeddings - 0.01 * slope), state

    def run(carry, labels, count):
        return jax.lax.fori_loop(0, count, lambda _, carry: body(labels, carry), carry)

    return jax.jit(run, donate_argnums=0)


def _update(parts):
    """Repeats what the step does with a gradient, here the parameters themselves."""

    def body(_, carry):
        params, opt_state = carry
        norm = optax.tree.norm(params)
        direction, new_state = parts.optimizer.update(params, opt_state, params)
        moved = jax.tree.map(lambda p, d: p - 1e-3 * d, params, direction)
        fine = jnp.isfinite(norm)
        return jax.tree.map(lambda n, o: jnp.where(fine, n, o), (moved, new_state), carry)

    return jax.jit(lambda carry, count: jax.lax.fori_loop(0, count, body, carry), donate_argnums=0)


def _seconds(run, carry, *given) -> float:
    """Seconds of one round, at best, of `run(carry, *given, count) -> carry`."""
    count, times = np.int32(STEPS.value), []
    for _ in range(1 + REPEATS.value):  # the first compiles
        began = time.perf_counter()
        carry = jax.block_until_ready(run(carry, *given, count))
        times.append((time.perf_counter() - began) / STEPS.value)
    return min(times[1:])


if __name__ == "__main__":
    CONFIG = cli.define_config()
    NUM_IMAGES = flags.DEFINE_integer("num_images", 50_000, "Training images.", lower_bound=1)
    NUM_CLASSES = flags.DEFINE_integer("num_classes", 100, "Their classes.", lower_bound=2)
    STEPS = flags.DEFINE_integer("steps", 10, "Steps in one dispatch.", lower_bound=1)
    REPEATS = flags.DEFINE_integer("repeats", 5, "Dispatches; the fastest counts.", lower_bound=1)
    cli.run(main)
