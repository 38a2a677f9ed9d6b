"""CLIP (Radford et al. 2021) and its relatives: towers, weights, tokenizers, preprocessing."""

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.encode import encode_images, encode_texts
from adapt_jax.clip.model import Model, Params, image_features, text_features
from adapt_jax.clip.preprocess import normalize, pixels_uint8, preprocess
from adapt_jax.clip.released_models import RELEASED
from adapt_jax.clip.tower_records import (
    BertText,
    EfficientNet,
    EfficientNetBlock,
    GroupVitText,
    GroupVitVision,
    ModifiedResNet,
    SiglipText,
    SiglipVision,
    TextTransformer,
    VisionTransformer,
)
from adapt_jax.clip.towers.initialize import init
from adapt_jax.clip.weights.load import load
from adapt_jax.clip.weights.save import save

__all__ = [
    "RELEASED",
    "Architecture",
    "BertText",
    "EfficientNet",
    "EfficientNetBlock",
    "GroupVitText",
    "GroupVitVision",
    "Model",
    "ModifiedResNet",
    "Params",
    "SiglipText",
    "SiglipVision",
    "TextTransformer",
    "VisionTransformer",
    "encode_images",
    "encode_texts",
    "image_features",
    "init",
    "load",
    "normalize",
    "pixels_uint8",
    "preprocess",
    "save",
    "text_features",
    "tokenize",
]


def __getattr__(name: str):
    if name == "tokenize":  # needs ftfy and regex; the towers do not
        from adapt_jax.clip.tokenizer import tokenize

        return tokenize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
