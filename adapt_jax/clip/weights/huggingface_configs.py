"""The config.json of Hugging Face's CLIP and its relatives, by `model_type`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from adapt_jax.clip.architecture import (
    Architecture,
    SiglipText,
    SiglipVision,
    TextTransformer,
    VisionTransformer,
)
from adapt_jax.clip.weights import preprocess_files
from adapt_jax.core.errors import InputError

# Their name -> ours; their defaults, which they leave out when writing.
_TOWER = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "mlp_width",
    "hidden_act": "activation",
    "layer_norm_eps": "epsilon",
}
_VISION = {"image_size": "image_size", "patch_size": "patch_size", **_TOWER}
_TEXT = {
    "max_position_embeddings": "context_length",
    "vocab_size": "vocab_size",
    "eos_token_id": "eos_token_id",
    **_TOWER,
}
_DEFAULTS = {
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 12,
}
_VISION_DEFAULTS = _DEFAULTS | {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 32,
}
_TEXT_DEFAULTS = _DEFAULTS | {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "eos_token_id": 49407,
}
_ACTIVATIONS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_LEGACY_EOS = 2  # written by mistake once; transformers then pools at the largest id
_SIGLIP_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_SIGLIP_VISION = _SIGLIP_DEFAULTS | {"image_size": 224, "patch_size": 16}
_SIGLIP_TEXT = _SIGLIP_DEFAULTS | {"vocab_size": 32000, "max_position_embeddings": 64}


def read(fields: Mapping[str, Any], preprocessor: Mapping[str, Any]) -> Architecture:
    """The architecture of a model whose `model_type` is a key of `READERS`.

    Args:
      fields: content of config.json.
      preprocessor: content of preprocessor_config.json; {} without one.

    Raises:
      InputError: an option we do not support, or a value that cannot be.
    """
    return READERS[fields["model_type"]](fields, preprocessor)


def pad_token_id(fields: Mapping[str, Any]) -> int:
    """The id that pads texts, if the tokenizer does not say; 1, SigLIP's, if nothing does."""
    given = (fields.get("text_config") or {}).get("pad_token_id")
    return given if isinstance(given, int) else 1


def _clip(fields, preprocessor):
    vision = _tower(fields, "vision", _VISION_DEFAULTS)
    text = _tower(fields, "text", _TEXT_DEFAULTS)
    if text["eos_token_id"] == _LEGACY_EOS:
        text["eos_token_id"] = None
    elif not isinstance(text["eos_token_id"], int):
        raise InputError(f"text_config.eos_token_id must be one id, got {text['eos_token_id']!r}")
    tower = VisionTransformer(**_named(vision, _VISION))
    return Architecture(
        embed_dim=fields.get("projection_dim", 512),
        vision=tower,
        text=TextTransformer(**_named(text, _TEXT)),
        position_kernel="huggingface",
        **preprocess_files.huggingface(preprocessor, tower.image_size)._asdict(),
    )


def _siglip(fields, preprocessor):
    vision = _tower(fields, "vision", _SIGLIP_VISION)
    text = _tower(fields, "text", _SIGLIP_TEXT)
    if not vision.get("vision_use_head", True):
        raise InputError("vision_config.vision_use_head = False leaves no image embedding")
    names = {theirs: ours for theirs, ours in _TEXT.items() if ours != "eos_token_id"}
    tower = SiglipVision(**_named(vision, _VISION))
    how = preprocess_files.huggingface(preprocessor, tower.image_size, preprocess_files.SIGLIP)
    return Architecture(
        embed_dim=text.get("projection_size") or text["hidden_size"],
        vision=tower,
        text=SiglipText(**_named(text, names)),
        position_kernel="huggingface",
        **how._asdict(),
    )


def _naflex(fields, preprocessor):
    raise InputError(
        "this SigLIP 2 is a NaFlex model (model_type 'siglip2'), whose images keep their aspect "
        "ratio and number of patches; only those of a fixed size are supported, which have "
        "model_type 'siglip', such as google/siglip2-base-patch16-224"
    )


READERS: dict[str, Callable[[Mapping, Mapping], Architecture]] = {
    "clip": _clip,
    "siglip": _siglip,
    "siglip2": _naflex,
}


def _tower(fields, name, defaults):
    # The older field wins, as in transformers: early configurations left the other one wrong.
    given = fields.get(f"{name}_config_dict") or fields.get(f"{name}_config") or {}
    tower = defaults | dict(given)
    if tower.get("num_channels", 3) != 3:
        raise InputError(f"CLIP of {tower['num_channels']} image channels is not supported, only 3")
    for size in ("image_size", "patch_size"):
        if isinstance(tower.get(size), list):
            if len(set(tower[size])) != 1:
                raise InputError(f"{name}_config.{size} {tower[size]}: only squares are supported")
            tower[size] = tower[size][0]
    if tower["hidden_act"] not in _ACTIVATIONS:
        names = ", ".join(_ACTIVATIONS)
        raise InputError(
            f"{name}_config.hidden_act {tower['hidden_act']!r} is not supported; known: {names}"
        )
    return tower | {"hidden_act": _ACTIVATIONS[tower["hidden_act"]]}


def _named(tower, names):
    """The fields of ours, from theirs."""
    return {ours: tower[theirs] for theirs, ours in names.items()}


def write_huggingface(architecture: Architecture) -> dict:
    """config.json of a ViT; the inverse of `read` but for `position_kernel` and `preprocessing`."""
    vision, text = dataclasses.asdict(architecture.vision), dataclasses.asdict(architecture.text)
    activations = {"gelu_tanh": "gelu_pytorch_tanh"}
    for tower in (vision, text):
        tower["activation"] = activations.get(tower["activation"], tower["activation"])
    if text["eos_token_id"] is None:
        text["eos_token_id"] = _LEGACY_EOS
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": architecture.embed_dim,
        "vision_config": {theirs: vision[ours] for theirs, ours in _VISION.items()}
        | {"model_type": "clip_vision_model", "projection_dim": architecture.embed_dim},
        "text_config": {theirs: text[ours] for theirs, ours in _TEXT.items()}
        | {"model_type": "clip_text_model", "projection_dim": architecture.embed_dim},
    }
