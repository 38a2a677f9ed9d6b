"""A random CLIP of 16 x 16 images, small enough to run in milliseconds, as a folder of files."""

import jax

from adapt_jax import clip

TOWER = {"width": 16, "layers": 1, "heads": 2, "mlp_width": 32}
ARCHITECTURE = clip.Architecture(
    embed_dim=12,
    vision=clip.VisionTransformer(image_size=16, patch_size=8, **TOWER),
    text=clip.TextTransformer(context_length=16, vocab_size=49408, **TOWER),
)


def save(folder, seed=0):
    """Writes the model and returns the folder as text."""
    clip.save(folder, clip.init(ARCHITECTURE, jax.random.key(seed)), ARCHITECTURE)
    return str(folder)
