"""Fields of Hugging Face's config.json that are read, and what transformers takes without them."""

# Their name -> ours; their defaults, which they leave out when writing.
TOWER = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "mlp_width",
    "hidden_act": "activation",
    "layer_norm_eps": "epsilon",
}
VISION = {"image_size": "image_size", "patch_size": "patch_size", **TOWER}
TEXT = {
    "max_position_embeddings": "context_length",
    "vocab_size": "vocab_size",
    "eos_token_id": "eos_token_id",
    **TOWER,
}
DEFAULTS = {
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 12,
}
VISION_DEFAULTS = DEFAULTS | {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 32,
}
TEXT_DEFAULTS = DEFAULTS | {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "eos_token_id": 49407,
}
ACTIVATIONS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
SILU = {"swish": "silu", "silu": "silu"}  # of convolutions alone
LEGACY_EOS = 2  # written by mistake once; transformers then pools at the largest id
SIGLIP_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
SIGLIP_VISION = SIGLIP_DEFAULTS | {"image_size": 224, "patch_size": 16}
SIGLIP_TEXT = SIGLIP_DEFAULTS | {"vocab_size": 32000, "max_position_embeddings": 64}
BERT = {
    "max_position_embeddings": "positions",
    "vocab_size": "vocab_size",
    "type_vocab_size": "token_types",
    "pad_token_id": "pad_token_id",
    **TOWER,
}
ALTCLIP_TEXT = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 514,
    "vocab_size": 250002,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "project_dim": 768,
}
GROUPVIT_VISION = DEFAULTS | {
    "hidden_act": "gelu",
    "hidden_size": 384,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "image_size": 224,
    "patch_size": 16,
    "depths": (6, 3, 3),
    "num_group_tokens": (64, 8, 0),
    "num_output_groups": (64, 8, 8),
    "assign_eps": 1.0,
    "assign_mlp_ratio": (0.5, 4),
}
GROUPVIT_TEXT = TEXT_DEFAULTS | {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}
ALIGN_TEXT = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "vocab_size": 30522,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
EFFICIENTNET = {
    "hidden_act": "swish",
    "width_coefficient": 2.0,
    "depth_coefficient": 3.1,
    "depth_divisor": 8,
    "kernel_sizes": (3, 3, 5, 3, 5, 5, 3),
    "in_channels": (32, 16, 24, 40, 80, 112, 192),
    "out_channels": (16, 24, 40, 80, 112, 192, 320),
    "depthwise_padding": (),
    "strides": (1, 2, 2, 2, 1, 2, 1),
    "num_block_repeats": (1, 2, 2, 3, 3, 4, 1),
    "expand_ratios": (1, 6, 6, 6, 6, 6, 6),
    "squeeze_expansion_ratio": 0.25,
    "pooling_type": "mean",
    "batch_norm_eps": 0.001,
}
