"""What our parameters are called in other programs' files: parts of names, for `names`."""

# ours: what Hugging Face puts between `text_model.` and the parts of a BERT.
_BERTS = {"roberta": "roberta.", "bert": ""}
# ours: (OpenAI, Hugging Face). First whole tensors, then modules whose tensors are named alike.
TENSORS = {
    "logit_scale": ("logit_scale", "logit_scale"),
    "logit_bias": ("", "logit_bias"),
    "visual.patches.kernel": (
        "visual.conv1.weight",
        "vision_model.embeddings.patch_embedding.weight",
    ),
    "visual.patches.bias": ("", "vision_model.embeddings.patch_embedding.bias"),
    "visual.class_embedding": (
        "visual.class_embedding",
        "vision_model.embeddings.class_embedding",
    ),
    "visual.positions": (
        "visual.positional_embedding",
        "vision_model.embeddings.position_embedding.weight",
    ),
    "visual.projection": ("visual.proj", "visual_projection.weight"),
    "visual.attnpool.positions": ("visual.attnpool.positional_embedding", ""),
    "visual.head.probe": ("", "vision_model.head.probe"),
    "visual.grid": ("", "vision_model.embeddings.position_embeddings"),
    "text.tokens": ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    "text.positions": (
        "positional_embedding",
        "text_model.embeddings.position_embedding.weight",
    ),
    "text.projection": ("text_projection", "text_projection.weight"),
    **{
        f"text.{ours}.{kind}s": ("", f"text_model.{theirs}embeddings.{name}_embeddings.weight")
        for ours, theirs in _BERTS.items()
        for kind, name in {"token": "word", "position": "position", "type": "token_type"}.items()
    },
}
MODULES = {
    "visual.ln_pre": ("visual.ln_pre", "vision_model.pre_layrnorm"),
    "visual.ln_post": ("visual.ln_post", "vision_model.post_layernorm"),
    "text.ln_final": ("ln_final", "text_model.final_layer_norm"),
    # SigLIP, which only Hugging Face's layout has
    "visual.head.attn.qkv": ("", "vision_model.head.attention.in_proj"),
    "visual.head.attn.out": ("", "vision_model.head.attention.out_proj"),
    "visual.head.ln": ("", "vision_model.head.layernorm"),
    "visual.head.mlp.fc": ("", "vision_model.head.mlp.fc1"),
    "visual.head.mlp.out": ("", "vision_model.head.mlp.fc2"),
    "text.head": ("", "text_model.head"),
    # BERTs, as well
    **{
        f"text.{ours}.ln_embed": ("", f"text_model.{theirs}embeddings.LayerNorm")
        for ours, theirs in _BERTS.items()
    },
    "text.ln_pool": ("", "text_model.pre_LN"),
    "text.transform": ("", "text_model.transformation"),
    "text.out": ("", "text_projection"),
    # GroupViT; the modules of its stages are called as ours
    "visual.patch_projection": ("", "vision_model.embeddings.patch_embeddings.projection"),
    "visual.stem_conv": (
        "",
        "vision_model.embeddings.convolution",
    ),  # EfficientNet; its units as ours
    "visual.stem_bn": ("", "vision_model.embeddings.batchnorm"),
    "visual.ln_embed": ("", "vision_model.embeddings.layernorm"),
    "visual.ln_out": ("", "vision_model.layernorm"),
    **{
        f"{tower}.project.{part}": ("", f"{tower}_projection.{number}")
        for tower in ("visual", "text")
        for part, number in {"fc": 0, "bn": 1, "out": 3}.items()
    },
}
BLOCKS = {
    "visual.blocks": ("visual.transformer.resblocks", "vision_model.encoder.layers"),
    "text.blocks": ("transformer.resblocks", "text_model.encoder.layers"),
    **{
        f"text.{ours}.blocks": ("", f"text_model.{theirs}encoder.layer")
        for ours, theirs in _BERTS.items()
    },
}
IN_BLOCK = {
    "ln_1": ("ln_1", "layer_norm1"),
    "ln_2": ("ln_2", "layer_norm2"),
    "attn.qkv": ("attn.in_proj", "self_attn.{}_proj"),
    "attn.out": ("attn.out_proj", "self_attn.out_proj"),
    "mlp.fc": ("mlp.c_fc", "mlp.fc1"),
    "mlp.out": ("mlp.c_proj", "mlp.fc2"),
    "attention.qkv": ("", "attention.self.{}"),
    "attention.out": ("", "attention.output.dense"),
    "attention_norm": ("", "attention.output.LayerNorm"),
    "intermediate": ("", "intermediate.dense"),
    "output": ("", "output.dense"),
    "output_norm": ("", "output.LayerNorm"),
}
ATTENTION_POOL = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "c_proj"}
LEAVES = {
    "group_token": "group_token",
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
FLAX_LEAVES = {"tokens": "embedding", "positions": "embedding", "scale": "scale"}
