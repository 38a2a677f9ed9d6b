"""Image and text towers as pure functions, a module for each kind.

`shapes(tower, embed_dim)` gives the parameters; `features(params, tower, pixels, kernel)` of an
image tower and `features(params, tower, ids, dtype)` of a text tower the embeddings; a text tower's
`lengths(tower, ids)` says how many tokens of each text count.
"""

from types import ModuleType

from adapt_jax.clip import tower_records as records
from adapt_jax.clip.towers import (
    bert_text,
    efficientnet,
    groupvit_text,
    groupvit_vision,
    resnet,
    siglip_text,
    siglip_vision,
    text,
    vision,
)

_MODULES: dict[type, ModuleType] = {
    records.VisionTransformer: vision,
    records.ModifiedResNet: resnet,
    records.TextTransformer: text,
    records.SiglipVision: siglip_vision,
    records.SiglipText: siglip_text,
    records.BertText: bert_text,
    records.EfficientNet: efficientnet,
    records.GroupVitVision: groupvit_vision,
    records.GroupVitText: groupvit_text,
}


def of(tower) -> ModuleType:
    """The module that computes a tower of this record."""
    return _MODULES[type(tower)]
