"""Reads the JSON configurations of Hugging Face (`huggingface_configs`) and OpenCLIP.

An option that would change the network and is not supported is an error and is never ignored,
because the weights do not show it: for example, which activation they were trained with.
"""

import json
import pathlib
from collections.abc import Mapping

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.tower_records import ModifiedResNet, TextTransformer, VisionTransformer
from adapt_jax.clip.weights import huggingface_configs, preprocess_files
from adapt_jax.clip.weights.huggingface_configs import write_huggingface as write_huggingface
from adapt_jax.core.errors import InputError

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
            return huggingface_configs.read(fields, preprocessor or {})
        if "model_cfg" in fields or {"embed_dim", "vision_cfg", "text_cfg"} <= fields.keys():
            return _open_clip(fields)
    except InputError:
        raise
    except (TypeError, LookupError, AttributeError, ValueError, ArithmeticError) as e:
        raise InputError(f"the CLIP configuration is malformed ({e!r})") from None
    known = ", ".join(map(repr, huggingface_configs.READERS))
    kind = fields.get("model_type", fields.get("architecture", "unknown"))
    raise InputError(
        f"this is the configuration of a model of type {kind!r}, not of a CLIP as Hugging Face "
        f"(model_type {known}) or OpenCLIP (model_cfg) describe one"
    )


def is_huggingface(fields: Mapping) -> bool:
    """Whether this is the config.json of a model of Hugging Face's that we know."""
    return fields.get("model_type") in huggingface_configs.READERS


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
