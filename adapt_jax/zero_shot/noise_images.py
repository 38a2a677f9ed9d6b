"""TANL's noise images, which stand for OOD images before a stream has shown any.

YBZh/OpenOOD-VLM; its generator is not seeded, ours is.
"""

import hashlib
import pathlib

import numpy as np

from adapt_jax.inference import feature_cache
from adapt_jax.inference.clip_encoder import Encoder
from adapt_jax.inference.zero_shot_files import NOISE
from adapt_jax.zero_shot.image_features import FEATURES, ImageSet

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


def embed(encoder: Encoder, batch_size: int, workdir: pathlib.Path) -> ImageSet:
    """TANL's 15 noise images as a set, from WORKDIR/features or network.

    Args:
      encoder: the CLIP encoder.
      batch_size: number of images per pass over all devices.
      workdir: folder of the job.
    """
    images = make(encoder.model.image_size)
    key = hashlib.sha256(f"{encoder.sha256} noise".encode()).hexdigest()

    def run(_):
        return {"embeddings": encoder.images([images], len(images), batch_size, "noise")}

    path = feature_cache.path_of(pathlib.Path(workdir) / FEATURES, NOISE, key)
    names = tuple(map(str, range(len(images))))
    arrays = feature_cache.cached(path, key, ImageSet(images, None, names), run)
    return ImageSet(arrays["embeddings"], None, names, file=f"{FEATURES}/{path.name}")
