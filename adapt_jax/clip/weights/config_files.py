"""Reads the JSON configurations of Hugging Face and OpenCLIP, and writes Hugging Face's.

An option that would change the network and is not supported is an error and is never ignored,
because the weights do not show it: for example, which activation they were trained with.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping

from adapt_jax.clip.architecture import (
    Architecture,
    ModifiedResNet,
    TextTransformer,
    VisionTransformer,
)
from adapt_jax.clip.weights import preprocess_files
from adapt_jax.core.errors import InputError

# Hugging Face: their name -> ours; their defaults, which they leave out when writing.
_HF_TOWER = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "mlp_width",
    "hidden_act": "activation",
    "layer_norm_eps": "epsilon",
}
_HF_VISION = {"image_size": "image_size", "patch_size": "patch_size", **_HF_TOWER}
_HF_TEXT = {
    "max_position_embeddings": "context_length",
    "vocab_size": "vocab_size",
    "eos_token_id": "eos_token_id",
    **_HF_TOWER,
}
_HF_DEFAULTS = {
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 12,
}
_HF_VISION_DEFAULTS = _HF_DEFAULTS | {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 32,
}
_HF_TEXT_DEFAULTS = _HF_DEFAULTS | {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "eos_token_id": 49407,
}
_HF_ACTIVATIONS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_HF_LEGACY_EOS = 2  # written by mistake once; transformers then pools at the largest id

# OpenCLIP: options without effect on what is computed, or only together with one we refuse.
_OC_IGNORED = {
    *("custom_text", "init_logit_scale", "nonscalar_logit_scale", "output_dict"),
    *("patch_dropout", "output_tokens", "pad_id", "tokenizer_kwargs", "text_mask"),
}
_OC_IGNORED_PREFIXES = ("timm_", "hf_", "attn_pooler_")
_OC_REFUSED = ("timm_model_name", "hf_model_name")
_OC_NEUTRAL = {
    "pos_embed_type": "learnable",
    "proj_type": "linear",
    "in_chans": 3,
}


def read_json(path: pathlib.Path) -> dict:
    """A JSON object.

    Raises:
      InputError: the file cannot be read as one.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as e:
        raise InputError(f"{path} cannot be read as JSON ({e})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} does not hold a JSON object")
    return value


def read(fields: Mapping, preprocessor: Mapping | None = None) -> Architecture:
    """A configuration of either program, told apart by their fields.

    Args:
      fields: content of config.json or open_clip_config.json (or its `model_cfg` alone).
      preprocessor: content of Hugging Face's preprocessor_config.json, if there is one.

    Raises:
      InputError: another kind of model, an option we do not support, or a value that cannot be.
    """
    try:
        if is_huggingface(fields):
            return _huggingface(fields, preprocessor or {})
        if "model_cfg" in fields or {"embed_dim", "vision_cfg", "text_cfg"} <= fields.keys():
            return _open_clip(fields)
    except InputError:
        raise
    except (TypeError, LookupError, AttributeError, ValueError, ArithmeticError) as e:
        raise InputError(f"the CLIP configuration is malformed ({e!r})") from None
    kind = fields.get("model_type", fields.get("architecture", "unknown"))
    raise InputError(
        f"this is the configuration of a model of type {kind!r}, not of a CLIP as Hugging Face "
        "(model_type 'clip') or OpenCLIP (model_cfg) describe one"
    )


def is_huggingface(fields: Mapping) -> bool:
    """Whether this is the config.json of a Hugging Face `CLIPModel`."""
    return fields.get("model_type") == "clip"


def _huggingface(fields, preprocessor):
    vision = _hf_tower(fields, "vision", _HF_VISION_DEFAULTS)
    if vision.get("num_channels", 3) != 3:
        raise InputError(
            f"CLIP of {vision['num_channels']} image channels is not supported, only 3"
        )
    text = _hf_tower(fields, "text", _HF_TEXT_DEFAULTS)
    if text["eos_token_id"] == _HF_LEGACY_EOS:
        text["eos_token_id"] = None
    elif not isinstance(text["eos_token_id"], int):
        raise InputError(f"text_config.eos_token_id must be one id, got {text['eos_token_id']!r}")
    tower = VisionTransformer(**{ours: vision[theirs] for theirs, ours in _HF_VISION.items()})
    return Architecture(
        embed_dim=fields.get("projection_dim", 512),
        vision=tower,
        text=TextTransformer(**{ours: text[theirs] for theirs, ours in _HF_TEXT.items()}),
        position_kernel="huggingface",
        **preprocess_files.huggingface(preprocessor, tower.image_size)._asdict(),
    )


def _hf_tower(fields, name, defaults):
    # The older field wins, as in transformers: early configurations left the other one wrong.
    given = fields.get(f"{name}_config_dict") or fields.get(f"{name}_config") or {}
    tower = defaults | dict(given)
    if tower["hidden_act"] not in _HF_ACTIVATIONS:
        names = ", ".join(_HF_ACTIVATIONS)
        raise InputError(
            f"{name}_config.hidden_act {tower['hidden_act']!r} is not supported; known: {names}"
        )
    return tower | {"hidden_act": _HF_ACTIVATIONS[tower["hidden_act"]]}


def _open_clip(fields):
    model = _Options(fields.get("model_cfg", fields), "model_cfg")
    prepare = fields.get("preprocess_cfg") or {}
    activation = "quick_gelu" if model.take("quick_gelu", False) else "gelu"
    embed_dim = model.take("embed_dim")
    vision = _oc_vision(_Options(model.take("vision_cfg"), "vision_cfg"), activation)
    text = _oc_text(_Options(model.take("text_cfg"), "text_cfg"), activation)
    model.finish()
    return Architecture(
        embed_dim=embed_dim,
        vision=vision,
        text=text,
        **preprocess_files.open_clip(prepare, vision.image_size)._asdict(),
    )


def _oc_vision(given, activation):
    width, head_width = given.take("width", 768), given.take("head_width", 64)
    layers, image_size = given.take("layers", 12), given.take("image_size", 224)
    if isinstance(image_size, list):
        if len(set(image_size)) != 1:
            raise InputError(
                f"vision_cfg.image_size {image_size}: only square images are supported"
            )
        image_size = image_size[0]
    if isinstance(layers, list):
        given.take("patch_size", None)
        given.finish()
        heads = 32 * width // head_width
        blocks = tuple(layers)
        return ModifiedResNet(image_size=image_size, width=width, blocks=blocks, heads=heads)
    tower = VisionTransformer(
        image_size=image_size,
        patch_size=given.take("patch_size", 16),
        width=width,
        layers=layers,
        heads=width // head_width,
        mlp_width=int(width * given.take("mlp_ratio", 4.0)),
        activation=activation,
        epsilon=_oc_epsilon(given),
    )
    given.finish(pool_type="tok")
    return tower


def _oc_text(given, activation):
    width = given.take("width", 512)
    pool, eos = given.take("pool_type", "argmax"), given.take("eos_id", 49407)
    if pool not in ("argmax", "eos"):
        raise InputError(f"text_cfg.pool_type {pool!r} is not supported; known: argmax, eos")
    tower = TextTransformer(
        context_length=given.take("context_length", 77),
        vocab_size=given.take("vocab_size", 49408),
        width=width,
        layers=given.take("layers", 12),
        heads=given.take("heads", 8),
        mlp_width=int(width * given.take("mlp_ratio", 4.0)),
        activation=activation,
        epsilon=_oc_epsilon(given),
        eos_token_id=eos if pool == "eos" else None,
    )
    given.finish()
    return tower


def _oc_epsilon(given):
    options = _Options(given.take("norm_kwargs", None) or {}, f"{given.where}.norm_kwargs")
    epsilon = options.take("eps", 1e-5)
    options.finish()
    return epsilon


class _Options:
    """Fields of an OpenCLIP object; `finish` refuses those that nobody took and that matter."""

    def __init__(self, given, where):
        self.given, self.where = dict(given), where

    def take(self, name, *default):
        return self.given.pop(name, *default)

    def finish(self, **neutral):
        neutral = _OC_NEUTRAL | neutral
        for name, value in self.given.items():
            ignored = name in _OC_IGNORED or name.startswith(_OC_IGNORED_PREFIXES)
            if not value or value == neutral.get(name) or (ignored and name not in _OC_REFUSED):
                continue
            raise InputError(f"{self.where}.{name} = {value!r} is not supported")


def write_huggingface(architecture: Architecture) -> dict:
    """config.json of a ViT; the inverse of `read` but for `position_kernel` and `preprocessing`."""
    vision, text = dataclasses.asdict(architecture.vision), dataclasses.asdict(architecture.text)
    activations = {"gelu_tanh": "gelu_pytorch_tanh"}
    for tower in (vision, text):
        tower["activation"] = activations.get(tower["activation"], tower["activation"])
    if text["eos_token_id"] is None:
        text["eos_token_id"] = _HF_LEGACY_EOS
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": architecture.embed_dim,
        "vision_config": {theirs: vision[ours] for theirs, ours in _HF_VISION.items()}
        | {"model_type": "clip_vision_model", "projection_dim": architecture.embed_dim},
        "text_config": {theirs: text[ours] for theirs, ours in _HF_TEXT.items()}
        | {"model_type": "clip_text_model", "projection_dim": architecture.embed_dim},
    }
