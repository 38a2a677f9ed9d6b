"""Image and text towers as pure functions, a module for each kind.

`shapes(tower, embed_dim)` gives the parameters; `features(params, tower, pixels, kernel)` of an
image tower and `features(params, tower, ids, dtype)` of a text tower the embeddings; a text tower's
`lengths(tower, ids)` says how many tokens of each text count.
"""

from types import ModuleType

from adapt_jax.clip import architecture
from adapt_jax.clip.towers import resnet, siglip_text, siglip_vision, text, vision

_MODULES: dict[type, ModuleType] = {
    architecture.VisionTransformer: vision,
    architecture.ModifiedResNet: resnet,
    architecture.TextTransformer: text,
    architecture.SiglipVision: siglip_vision,
    architecture.SiglipText: siglip_text,
}


def of(tower) -> ModuleType:
    """The module that computes a tower of this record."""
    return _MODULES[type(tower)]
