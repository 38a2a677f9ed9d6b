"""Temporary memory of a training step in 1, 4 and 16 micro-batches, as the compiler plans it.

    python -m benchmarks.microbatches

ResNet-18, 256 CIFAR images x 2 views, on this machine's device; nothing runs.
"""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.experiment import build, derived
from adapt_jax.runtime import config_files, sharding
from adapt_jax.training import sharded, train_state


def main() -> None:
    config = config_files.load_config("configs/cifar100_adapt.py")
    config.model.name, config.batch_size = "resnet18", 256
    mesh = sharding.make_mesh(jax.devices()[:1])
    print(f"jax {jax.__version__}, {sharding.described(mesh)}")
    for parts, remat in ((1, False), (4, False), (16, False), (1, True)):
        config.microbatches, config.model.remat = parts, remat
        made = build.make_parts(
            config, mesh=mesh, num_classes=100, num_images=50_000, mean_std=None
        )
        state = jax.eval_shape(
            lambda made=made: train_state.create(jax.random.key(0), made, (32, 32, 3))
        )
        step = sharded.sharded_step(made, mesh, parts)
        loop = sharded.sharded_loop(step, derived.plan_of(config, 50_000), mesh, 10)
        images = jax.ShapeDtypeStruct((50_000, 32, 32, 3), jnp.uint8)
        labels = jax.ShapeDtypeStruct((50_000,), jnp.int32)
        planned = loop.lower(state, images, labels, np.int32(1)).compile().memory_analysis()
        gib = planned.temp_size_in_bytes / 2**30
        print(f"microbatches={parts:<3} remat={remat!s:<6} {gib:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
