"""A Flax Linen network, trained here, then scored by every detector.

    python -m adapt_jax.evaluate --model=examples.own_networks.linen:make \\
        --workdir=runs/own --train_data='digits:train?classes=0-5' \\
        --test_data='digits:test?classes=0-5' --ood='near/others=digits?classes=6-9'
"""

import jax
import numpy as np
import optax
from flax import linen

import adapt_jax

MEAN, STD = (0.3, 0.3, 0.3), (0.38, 0.38, 0.38)  # of the digits, on the scale 0..1


class Network(linen.Module):
    """A convolutional encoder with a linear classifier on top."""

    @linen.compact
    def __call__(self, images, train: bool):
        """Images (N, 8, 8, 3) -> logits (N, 6)."""
        x = linen.relu(linen.Conv(32, (3, 3))(images))
        x = linen.relu(linen.Conv(32, (3, 3), strides=2)(x))
        x = linen.Dropout(0.1, deterministic=not train)(x.mean(axis=(1, 2)))
        return linen.Dense(6, name="classifier")(x)


def make(*, steps: int = 200, batch: int = 128):
    """Trains on digits 0 to 5, and wraps what came out."""
    data = adapt_jax.data.load("digits:train?classes=0-5", 8)
    network, rng = Network(), np.random.default_rng(0)
    variables = network.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32), train=False)
    adam = optax.adam(3e-3)
    state = adam.init(variables)

    @jax.jit
    def step(variables, state, images, labels, key):
        def loss(variables):
            logits = network.apply(variables, images, train=True, rngs={"dropout": key})
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        updates, state = adam.update(jax.grad(loss)(variables), state)
        return optax.apply_updates(variables, updates), state

    for i in range(steps):
        rows = rng.choice(len(data.labels), batch)
        images = (data.images[rows] / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
        variables, state = step(variables, state, images, data.labels[rows], jax.random.key(i))
    return adapt_jax.wrap(
        network, variables, image_size=8, mean=MEAN, std=STD, head="classifier", train=False
    )
