"""A Flax NNX network with batch normalisation, trained here, then scored by every detector.

    python -m adapt_jax.evaluate --model=examples.own_networks.nnx_batchnorm:make \\
        --workdir=runs/own --train_data='digits:train?classes=0-5' \\
        --test_data='digits:test?classes=0-5' --ood='near/others=digits?classes=6-9'
"""

import jax
import numpy as np
import optax
from flax import nnx

import adapt_jax

MEAN, STD = (0.3, 0.3, 0.3), (0.38, 0.38, 0.38)  # of the digits, on the scale 0..1


class Network(nnx.Module):
    """Two convolutions, each normalised by batch; the layer `classifier` makes the logits."""

    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(3, 32, (3, 3), rngs=rngs)
        self.norm1 = nnx.BatchNorm(32, rngs=rngs)
        self.conv2 = nnx.Conv(32, 32, (3, 3), strides=2, rngs=rngs)
        self.norm2 = nnx.BatchNorm(32, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.classifier = nnx.Linear(32, 6, rngs=rngs)

    def __call__(self, images):
        """Images (N, 8, 8, 3) -> logits (N, 6)."""
        x = jax.nn.relu(self.norm1(self.conv1(images)))
        x = jax.nn.relu(self.norm2(self.conv2(x)))
        return self.classifier(self.dropout(x.mean(axis=(1, 2))))


@nnx.jit
def step(network, optimizer, images, labels):
    """One step of Adam on a batch."""

    def loss(network):
        logits = network(images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    optimizer.update(network, nnx.grad(loss)(network))


def make(*, steps: int = 300, batch: int = 128):
    """Trains on digits 0 to 5, and wraps what came out."""
    data = adapt_jax.data.load("digits:train?classes=0-5", 8)
    network, rng = Network(nnx.Rngs(0)), np.random.default_rng(0)
    optimizer = nnx.Optimizer(network, optax.adam(3e-3), wrt=nnx.Param)
    for _ in range(steps):
        rows = rng.choice(len(data.labels), batch)
        images = (data.images[rows] / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
        step(network, optimizer, images, data.labels[rows])
    return adapt_jax.wrap(network, image_size=8, mean=MEAN, std=STD, head="classifier")
