"""TANL's noise images, which stand for OOD images before a stream has shown any.

YBZh/OpenOOD-VLM; its generator is not seeded, ours is.
"""

import numpy as np

_EACH = 3


def make(size: int, seed: int = 0) -> np.ndarray:
    """Three images each of Gaussian, uniform, Poisson, gamma and binary noise.

    As in the original they go to CLIP as they are, without its normalisation.

    Args:
      size: height and width in pixels; the original uses 224.
      seed: seed of the noise.

    Returns:
      (15, size, size, 3) float32 in [0, 1].
    """
    random = np.random.default_rng(seed)
    shape = (_EACH, size, size, 3)

    def scaled(noise: np.ndarray) -> np.ndarray:
        """From 0 to 1 over the three images together."""
        return (noise - noise.min()) / (noise.max() - noise.min())

    return np.concatenate(
        [
            scaled(random.normal(size=shape)),
            random.uniform(size=shape),
            scaled(random.poisson(5.0, shape)),
            scaled(random.gamma(2.0, 1.0, shape)),
            random.integers(0, 2, shape),
        ],
        dtype=np.float32,
    )
