"""The config.json of Hugging Face's CLIP and its relatives, by `model_type`."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.tower_records import (
    BertText,
    EfficientNet,
    EfficientNetBlock,
    GroupVitText,
    GroupVitVision,
    SiglipText,
    SiglipVision,
    TextTransformer,
    VisionTransformer,
)
from adapt_jax.clip.weights import huggingface_defaults as tables
from adapt_jax.clip.weights import preprocess_files
from adapt_jax.core.errors import InputError


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
    vision = _tower(fields, "vision", tables.VISION_DEFAULTS)
    tower = VisionTransformer(**_named(vision, tables.VISION))
    return Architecture(
        embed_dim=fields.get("projection_dim", 512),
        vision=tower,
        text=TextTransformer(**_causal_text(fields, tables.TEXT_DEFAULTS)),
        position_kernel="huggingface",
        **preprocess_files.huggingface(preprocessor, tower.image_size)._asdict(),
    )


def _causal_text(fields, defaults):
    text = _tower(fields, "text", defaults)
    if text["eos_token_id"] == tables.LEGACY_EOS:
        text["eos_token_id"] = None
    elif not isinstance(text["eos_token_id"], int):
        raise InputError(f"text_config.eos_token_id must be one id, got {text['eos_token_id']!r}")
    return _named(text, tables.TEXT)


def _siglip(fields, preprocessor):
    vision = _tower(fields, "vision", tables.SIGLIP_VISION)
    text = _tower(fields, "text", tables.SIGLIP_TEXT)
    if not vision.get("vision_use_head", True):
        raise InputError("vision_config.vision_use_head = False leaves no image embedding")
    names = {theirs: ours for theirs, ours in tables.TEXT.items() if ours != "eos_token_id"}
    tower = SiglipVision(**_named(vision, tables.VISION))
    how = preprocess_files.huggingface(preprocessor, tower.image_size, preprocess_files.SIGLIP)
    return Architecture(
        embed_dim=text.get("projection_size") or text["hidden_size"],
        vision=tower,
        text=SiglipText(**_named(text, names)),
        position_kernel="huggingface",
        **how._asdict(),
    )


def _altclip(fields, preprocessor):
    text = _tower(fields, "text", tables.ALTCLIP_TEXT)
    tower = VisionTransformer(
        **_named(_tower(fields, "vision", tables.VISION_DEFAULTS), tables.VISION)
    )
    return Architecture(
        embed_dim=fields.get("projection_dim", 768),
        vision=tower,
        text=BertText(
            **_named(text, tables.BERT), roberta=True, transform_width=text["project_dim"]
        ),
        position_kernel="huggingface",
        **preprocess_files.huggingface(preprocessor, tower.image_size)._asdict(),
    )


def _groupvit(fields, preprocessor):
    vision = _tower(fields, "vision", tables.GROUPVIT_VISION)
    inner = fields.get("projection_intermediate_dim", 4096)
    ratio = vision["assign_mlp_ratio"]
    ratios = ratio if isinstance(ratio, list | tuple) else (ratio, ratio)
    names = {theirs: ours for theirs, ours in tables.VISION.items() if ours != "layers"}
    tower = GroupVitVision(
        **_named(vision, names),
        depths=tuple(vision["depths"]),
        group_tokens=tuple(vision["num_group_tokens"]),
        output_groups=tuple(vision["num_output_groups"]),
        assign_widths=tuple(int(x * vision["hidden_size"]) for x in ratios),
        assign_epsilon=vision["assign_eps"],
        projection_width=inner,
    )
    return Architecture(
        embed_dim=fields.get("projection_dim", 256),
        vision=tower,
        text=GroupVitText(**_causal_text(fields, tables.GROUPVIT_TEXT), projection_width=inner),
        position_kernel="huggingface",
        **preprocess_files.huggingface(preprocessor, tower.image_size)._asdict(),
    )


def _align(fields, preprocessor):
    image_size, how = preprocess_files.efficientnet(preprocessor)
    text = _tower(fields, "text", tables.ALIGN_TEXT)
    return Architecture(
        embed_dim=fields.get("projection_dim", 640),
        vision=_efficientnet(_tower(fields, "vision", tables.EFFICIENTNET), image_size),
        text=BertText(**_named(text, tables.BERT), roberta=False, transform_width=0),
        **how._asdict(),
    )


def _efficientnet(vision, image_size):
    def channels(count):
        wanted, step = count * vision["width_coefficient"], vision["depth_divisor"]
        rounded = max(step, int(wanted + step / 2) // step * step)
        return rounded + step if rounded < 0.9 * wanted else rounded

    blocks = []
    stages = ("in_channels", "out_channels", "kernel_sizes", "strides", "expand_ratios")
    for stage, repeats in zip(
        zip(*(vision[name] for name in stages), strict=True), vision["num_block_repeats"]
    ):
        inputs, outputs = map(channels, stage[:2])
        for first in range(math.ceil(vision["depth_coefficient"] * repeats)):
            inputs, stride = (outputs, 1) if first else (inputs, stage[3])
            blocks.append(
                EfficientNetBlock(
                    inputs=inputs,
                    inner=inputs * stage[4],
                    outputs=outputs,
                    kernel=stage[2],
                    stride=stride,
                    squeezed=max(1, int(inputs * vision["squeeze_expansion_ratio"])),
                    residual=stride == 1 and bool(first),
                    even=len(blocks) not in vision["depthwise_padding"],
                )
            )
    return EfficientNet(
        image_size=image_size,
        stem=channels(32),
        blocks=tuple(blocks),
        pooling=vision["pooling_type"],
        activation=vision["hidden_act"],
        epsilon=vision["batch_norm_eps"],
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
    "altclip": _altclip,
    "groupvit": _groupvit,
    "align": _align,
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
    known = tables.ACTIVATIONS | (tables.SILU if "depth_coefficient" in defaults else {})
    if tower["hidden_act"] not in known:
        names = ", ".join(known)
        raise InputError(
            f"{name}_config.hidden_act {tower['hidden_act']!r} is not supported; known: {names}"
        )
    return tower | {"hidden_act": known[tower["hidden_act"]]}


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
        text["eos_token_id"] = tables.LEGACY_EOS
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": architecture.embed_dim,
        "vision_config": {theirs: vision[ours] for theirs, ours in tables.VISION.items()}
        | {"model_type": "clip_vision_model", "projection_dim": architecture.embed_dim},
        "text_config": {theirs: text[ours] for theirs, ours in tables.TEXT.items()}
        | {"model_type": "clip_text_model", "projection_dim": architecture.embed_dim},
    }
