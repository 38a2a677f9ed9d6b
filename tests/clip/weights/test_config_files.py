"""Configurations of other programs: their defaults, quirks, and what is refused."""

import json

import pytest

from adapt_jax import clip
from adapt_jax.clip.weights import config_files
from adapt_jax.core.errors import InputError

OPEN_CLIP_TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 32, "heads": 2, "layers": 2},
    "quick_gelu": True,
}


def test_options_that_would_change_the_network_are_refused():
    def changed(**changes):
        config = json.loads(json.dumps(OPEN_CLIP_TINY))
        for path, value in changes.items():
            part, _, name = path.rpartition("__")
            (config[part] if part else config)[name] = value
        return config

    read = config_files.read
    plain = read(OPEN_CLIP_TINY)
    neutral = changed(vision_cfg__timm_pool="avg", text_cfg__proj_type="linear", custom_text=True)
    assert read(neutral) == plain
    assert read({"model_cfg": changed(quick_gelu=False)}).vision.activation == "gelu"
    eos = changed(text_cfg__pool_type="eos", text_cfg__eos_id=599)
    assert read(eos).text.eos_token_id == 599
    for path, value in (
        ("vision_cfg__timm_model_name", "convnext_base"),
        ("vision_cfg__no_ln_pre", True),
        ("vision_cfg__pool_type", "avg"),
        ("text_cfg__hf_model_name", "roberta-base"),
        ("text_cfg__no_causal_mask", True),
        ("text_cfg__pool_type", "last"),
        ("multimodal_cfg", {"width": 1}),
    ):
        with pytest.raises(InputError, match=path.split("__")[-1]):
            read(changed(**{path: value}))


def test_hugging_face_configurations():
    read = config_files.read
    config = read({"model_type": "clip"})  # defaults are not written: this is ViT-B/32
    assert config.vision == clip.RELEASED["ViT-B/32"].vision
    assert config.text.eos_token_id == 49407
    legacy = {"text_config": {"eos_token_id": 2}, "text_config_dict": {"hidden_act": "gelu"}}
    text = read({"model_type": "clip", **legacy}).text
    assert (text.activation, text.eos_token_id) == ("gelu", 49407)  # the older field wins
    old = {"model_type": "clip", "text_config": {"eos_token_id": 2}}
    assert read(old).text.eos_token_id is None
    processor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}
    assert read(old, processor).mean == (0.1, 0.2, 0.3)
    with pytest.raises(InputError, match="0..1"):
        read(old, {"image_mean": [123.0, 117.0, 104.0], "image_std": [68.0, 67.0, 70.0]})
    for changes, match in (
        ({"vision_config": {"hidden_act": "silu"}}, "hidden_act 'silu'"),
        ({"vision_config": {"num_channels": 1}}, "channels"),
        ({"vision_config": {"num_attention_heads": 7}}, "heads"),
        ({"vision_config": {"patch_size": "8"}}, "patch_size"),
        ({"text_config": {"eos_token_id": [1, 2]}}, "eos_token_id"),
        ({"text_config": {"vocab_size": 100}}, "outside its vocabulary"),
    ):
        with pytest.raises(InputError, match=match):
            read({"model_type": "clip", **changes})
