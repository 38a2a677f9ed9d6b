"""The names, splits and axis orders of our parameters in the weights files of other programs.

Three layouts: openai/CLIP and mlfoundations/open_clip share one (a text tower may sit under
`text.`); huggingface/transformers has its own (PyTorch), and once had FlaxCLIPModel, whose names
are the same but for the last part and whose arrays are laid out like ours.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from adapt_jax.clip.model import Params
from adapt_jax.core import named
from adapt_jax.core.errors import InputError


class Layout(NamedTuple):
    """family: "openai", "huggingface" or "flax"; text_prefix: before OpenCLIP's text tensors."""

    family: str
    text_prefix: str = ""


class Tensor(NamedTuple):
    """A tensor of a file. `axes`: the transpose that makes it (a part of) ours."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


OPENAI, HUGGINGFACE, FLAX = Layout("openai"), Layout("huggingface"), Layout("flax")
# Buffers without information, and three scalars in OpenAI's archives.
IGNORED = re.compile(
    r"(^|\.)(num_batches_tracked|attn_mask|position_ids)$"
    r"|^(input_resolution|context_length|vocab_size)$"
)

# ours: (OpenAI, Hugging Face). First whole tensors, then modules whose tensors are named alike.
_TENSORS = {
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
    "text.tokens": ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    "text.positions": (
        "positional_embedding",
        "text_model.embeddings.position_embedding.weight",
    ),
    "text.projection": ("text_projection", "text_projection.weight"),
}
_MODULES = {
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
}
_BLOCKS = {
    "visual.blocks": ("visual.transformer.resblocks", "vision_model.encoder.layers"),
    "text.blocks": ("transformer.resblocks", "text_model.encoder.layers"),
}
_IN_BLOCK = {
    "ln_1": ("ln_1", "layer_norm1"),
    "ln_2": ("ln_2", "layer_norm2"),
    "attn.qkv": ("attn.in_proj", "self_attn.{}_proj"),
    "attn.out": ("attn.out_proj", "self_attn.out_proj"),
    "mlp.fc": ("mlp.c_fc", "mlp.fc1"),
    "mlp.out": ("mlp.c_proj", "mlp.fc2"),
}
_ATTENTION_POOL = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "c_proj"}
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_FLAX_LEAVES = {"tokens": "embedding", "positions": "embedding", "scale": "scale"}


def detect(names: Iterable[str]) -> Layout:
    """The layout of a file, from its names.

    Raises:
      InputError: none that we know; or one tower only.
    """
    names = tuple(names)

    def some(*starts):
        return any(n.startswith(starts) for n in names)

    if some("vision_model.") and some("text_model."):
        return FLAX if any(n.endswith(".kernel") for n in names) else HUGGINGFACE
    if some("visual.") and some("transformer.", "text.transformer."):
        return Layout("openai", "text." if some("text.") else "")
    raise InputError(
        "these are not the weights of a CLIP with both towers, as OpenAI, OpenCLIP or Hugging Face "
        f"name them; the first names are {', '.join(sorted(names)[:3]) or '(there are none)'}"
    )


def plan(template: Params, layout: Layout) -> dict[tuple[str, ...], list[list[Tensor]]]:
    """For every leaf of ours, by path: a list per block (one if unstacked) of its parts, in order.

    A leaf in several parts is their concatenation along its last axis.
    """
    leaves = {}
    for path, leaf in flatten_dict(template).items():
        if "blocks" in path:
            blocks, *shape = leaf.shape
            leaves[path] = [_parts(path, shape, layout, i) for i in range(blocks)]
        else:
            leaves[path] = [_parts(path, leaf.shape, layout)]
    return leaves


def tensors(template: Params, layout: Layout) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that a file of these parameters has, by name."""
    leaves = plan(template, layout).values()
    return {tensor.name: tensor.shape for blocks in leaves for parts in blocks for tensor in parts}


def read(state: Mapping[str, np.ndarray], template: Params) -> Params:
    """Our parameters, float32 on the host, from all tensors of a file.

    Args:
      state: arrays by name, in the file's layout and any floating dtype.
      template: shapes of our parameters, `model.shapes(architecture)`.

    Raises:
      InputError: names the tensors that are missing, unused or of the wrong shape, the first few
        of each, and those that hold NaN or infinity.
    """
    given = {name: value for name, value in state.items() if not IGNORED.search(name)}
    layout = detect(given)
    leaves, wanted = plan(template, layout), tensors(template, layout)
    if "" in wanted:
        raise InputError(
            f"these are weights in the layout of {layout.family}, which has no place for some "
            "parameters of the model that the configuration describes; give both of one model"
        )
    for scalar in {"logit_scale", "logit_bias"} & given.keys():  # some store a vector of one
        if given[scalar].size == 1:
            given[scalar] = given[scalar].reshape(())
    named.check(
        given,
        wanted,
        what="the tensors do not fit the model that the configuration describes",
        advice="give weights and configuration of one model",
    )

    def load(tensor):
        value = np.asarray(given[tensor.name], np.float32)
        if not np.isfinite(value).all():
            raise InputError(f"tensor {tensor.name} holds NaN or infinity; the file is damaged")
        return value.transpose(tensor.axes)

    def join(path):
        blocks = [
            np.concatenate([load(t) for t in parts], axis=-1) if len(parts) > 1 else load(parts[0])
            for parts in leaves[path]
        ]
        return np.stack(blocks) if "blocks" in path else blocks[0]

    return unflatten_dict({path: join(path) for path in leaves})


def write(params: Params, layout: Layout) -> dict[str, np.ndarray]:
    """The inverse of `read`: every tensor of a file in `layout`, float32."""
    state = {}
    values = flatten_dict(params)
    for path, blocks in plan(params, layout).items():
        for i, parts in enumerate(blocks):
            value = np.asarray(values[path], np.float32)
            value = value[i] if "blocks" in path else value
            pieces = np.split(value, len(parts), axis=-1) if len(parts) > 1 else [value]
            for tensor, piece in zip(parts, pieces):
                theirs = piece.transpose(np.argsort(tensor.axes).astype(int))
                state[tensor.name] = np.ascontiguousarray(theirs).reshape(tensor.shape)
    return state


def _parts(path, shape, layout, block=None):
    names = _names(path, layout, block)
    if len(names) > 1:
        shape = (*shape[:-1], shape[-1] // len(names))
    axes = _axes(path, len(shape), layout)
    theirs = tuple(shape[i] for i in np.argsort(axes).astype(int))
    return [Tensor(name, theirs, axes) for name in names]


def _axes(path, ndim, layout):
    if ndim == 4 and layout.family != "flax":
        return (2, 3, 1, 0)  # OIHW -> HWIO
    linear = path[-1] == "kernel" or (path[-1] == "projection" and layout.family == "huggingface")
    if ndim == 2 and linear and layout.family != "flax":
        return (1, 0)
    return tuple(range(ndim))


def _names(path, layout, block):
    """The names of the tensors that make up one leaf of ours (of one block)."""
    ours, leaf = ".".join(path), path[-1]
    column = 0 if layout.family == "openai" else 1
    if ours in _TENSORS:
        names = (_TENSORS[ours][column],)
    elif block is not None:
        inside = _IN_BLOCK[".".join(path[2:-1])][column]
        stem = f"{_BLOCKS['.'.join(path[:2])][column]}.{block}.{inside}"
        parts = "qkv" if "{}" in stem else ("",)
        names = tuple(_joined(stem.format(part), leaf) for part in parts)
    else:
        module = ".".join(path[:-1])
        stem = _MODULES[module][column] if module in _MODULES else _resnet_module(path)
        names = (_joined(stem, leaf),) if stem else ("",)
    if layout.family == "flax":
        new = _FLAX_LEAVES.get(leaf, "kernel")
        return tuple(re.sub(r"\.weight$", f".{new}", name) for name in names)
    return tuple((layout.text_prefix if path[0] == "text" else "") + name for name in names)


def _joined(stem, leaf):
    """The name of a leaf; PyTorch's fused attention has in_proj_weight and in_proj_bias."""
    return f"{stem}{'_' if stem.endswith('in_proj') else '.'}{_LEAVES[leaf]}"


def _resnet_module(path):
    """("visual", "layer1_0", "downsample_bn", "var") -> "visual.layer1.0.downsample.1"."""
    shortcut = {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}
    renamed = shortcut | (_ATTENTION_POOL if "attnpool" in path else {})
    parts = (renamed.get(m, re.sub(r"^layer(\d)_(\d+)$", r"layer\1.\2", m)) for m in path[:-1])
    return ".".join(parts)
