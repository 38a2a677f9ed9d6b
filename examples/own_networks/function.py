"""A network that is a plain function of its parameters, then scored by every detector.

    python -m adapt_jax.evaluate --model=examples.own_networks.function:make \\
        --workdir=runs/own --train_data='digits:train?classes=0-5' \\
        --test_data='digits:test?classes=0-5' --ood='near/others=digits?classes=6-9'
"""

import jax
import numpy as np

import adapt_jax

MEAN, STD = (0.3, 0.3, 0.3), (0.38, 0.38, 0.38)  # of the digits, on the scale 0..1


def features(params, images):
    """Images (N, 8, 8, 3) -> features (N, 64)."""
    x = images.reshape(images.shape[0], -1)
    return jax.nn.relu(x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])


def logits(params, images):
    """Images (N, 8, 8, 3) -> logits (N, 6)."""
    x = features(params, images)
    return x @ params["classifier"]["kernel"] + params["classifier"]["bias"][None]


@jax.jit
def step(params, images, labels):
    """One step of gradient descent on a batch."""

    def loss(params):
        ahead = jax.nn.log_softmax(logits(params, images))
        return -ahead[np.arange(len(labels)), labels].mean()

    return jax.tree.map(lambda p, g: p - 0.05 * g, params, jax.grad(loss)(params))


def make(*, steps: int = 200, batch: int = 128):
    """Trains on digits 0 to 5, and wraps what came out."""
    data = adapt_jax.data.load("digits:train?classes=0-5", 8)
    rng = np.random.default_rng(0)
    params = {}
    for name, shape in (("hidden", (192, 64)), ("classifier", (64, 6))):
        kernel = rng.normal(0, (2 / shape[0]) ** 0.5, shape).astype(np.float32)
        params[name] = {"kernel": kernel, "bias": np.zeros(shape[1], np.float32)}
    for _ in range(steps):
        rows = rng.choice(len(data.labels), batch)
        images = (data.images[rows] / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
        params = step(params, images, data.labels[rows])
    return adapt_jax.wrap(features, params, image_size=8, mean=MEAN, std=STD, head="classifier")
