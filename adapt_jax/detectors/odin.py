"""ODIN (Liang et al. 2018) and its one-element variant: confidence after a step towards confidence.

Papers: Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks (ICLR
2018), https://arxiv.org/abs/1706.02690; Going Beyond Conventional OOD Detection (arXiv 2024), where
one element moves, https://arxiv.org/abs/2411.10794. Code: https://github.com/Jingkang50/OpenOOD
(odin, iodin), whose execution this follows.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adapt_jax.core.checks import non_negative, positive
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import ImageDetector, Network


def make(*, temperature: float = 1000.0, noise: float = 0.0014) -> ImageDetector:
    """score = max softmax(l(x') / T), x' = x - noise * sign(gradient) / std.

    The gradient is that of the cross-entropy of l(x) / T against the predicted class with respect
    to the pixels; the sign of zero is +1.

    Args:
      temperature: temperature T, above 0; OpenOOD searches 1, 10, 100, 1000.
      noise: size of the step for pixels in [0, 1], hence the division by `Network.std`; OpenOOD
        searches 0.0014 and 0.0028.

    State: empty, nothing is fitted. `score` raises InputError when `Network.std` does not have one
    value per channel.
    """
    return _detector(temperature, noise, jnp.ones_like)


def make_iodin(*, temperature: float = 1000.0, noise: float = 0.0014) -> ImageDetector:
    """As ODIN, but only the one pixel channel with the largest absolute gradient moves."""
    return _detector(temperature, noise, _largest)


def _detector(
    temperature: float, noise: float, mask: Callable[[jax.Array], jax.Array]
) -> ImageDetector:
    positive(temperature=temperature)
    non_negative(noise=noise)

    def score(state: tuple, network: Network, pixels: jax.Array) -> jax.Array:
        std = jnp.asarray(network.std, pixels.dtype)
        if std.shape != pixels.shape[-1:]:
            raise InputError(
                f"odin.score: std has shape {std.shape}, but pixels {pixels.shape} end with "
                f"{pixels.shape[-1]} channels"
            )

        def cross_entropy(pixels):  # summed: the rows do not meet, so neither do their gradients
            logits = network.forward(pixels)[1]
            predicted = jnp.argmax(logits, axis=-1, keepdims=True)
            log_p = jax.nn.log_softmax(logits / temperature)
            return -jnp.sum(jnp.take_along_axis(log_p, predicted, axis=-1))

        gradient = jax.grad(cross_entropy)(pixels)
        std = std.reshape((1,) * (pixels.ndim - 1) + (-1,))
        step = mask(gradient) * jnp.where(gradient >= 0, 1, -1) / std
        logits = network.forward(pixels - noise * step)[1]
        return jnp.max(jax.nn.softmax(logits / temperature), axis=-1)

    def fit(measured=None) -> tuple[()]:
        return ()

    return ImageDetector(measure=None, fit=fit, score=score)


def _largest(gradient: jax.Array) -> jax.Array:
    """1 at each row's largest absolute value, the first of equals, 0 elsewhere."""
    size = jnp.abs(gradient).reshape(len(gradient), -1)
    mask = jax.nn.one_hot(jnp.argmax(size, axis=1), size.shape[1], dtype=gradient.dtype)
    return mask.reshape(gradient.shape)
