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
from adapt_jax.clip.weights.name_tables import (
    ATTENTION_POOL,
    BLOCKS,
    FLAX_LEAVES,
    IN_BLOCK,
    LEAVES,
    MODULES,
    TENSORS,
)
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
    r"(^|\.)(num_batches_tracked|attn_mask|position_ids|token_type_ids)$"
    r"|^(input_resolution|context_length|vocab_size)$"
    r"|^text_model\.pooler\.dense\.(weight|bias)$"  # of ALIGN's BERT, whose result nobody takes
)
_ALTCLIP = re.compile(r"^vision_model\.encoder\.layer\.")  # so saved by transformers 5


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
    given = {_ALTCLIP.sub("vision_model.encoder.layers.", k): v for k, v in given.items()}
    layout = detect(given)
    leaves, wanted = plan(template, layout), tensors(template, layout)
    if "" in wanted:
        raise InputError(
            f"these are weights in the layout of {layout.family}, which has no place for some "
            "parameters of the model that the configuration describes; give both of one model"
        )
    if "temperature" in given:  # ALIGN's, by which cosines are divided
        given["logit_scale"] = -np.log(np.asarray(given.pop("temperature"), np.float32))
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
    if ours in TENSORS:
        names = (TENSORS[ours][column],)
    elif block is not None:
        i = path.index("blocks") + 1
        inside = IN_BLOCK[".".join(path[i:-1])][column]
        blocks = BLOCKS.get(".".join(path[:i])) or ("", _stage_module(path[:i]))
        stem = f"{blocks[column]}.{block}.{inside}"
        parts: Iterable[str] = ("",)
        if "{}" in stem:
            parts = "qkv" if stem.endswith("{}_proj") else ("query", "key", "value")
        names = tuple(_joined(stem.format(part), leaf) for part in parts)
    else:
        module = ".".join(path[:-1])
        kind = path[1].rstrip("0123456789") if len(path) > 2 else ""
        inside_of = {"stage": _stage_module, "unit": _unit_module}.get(kind, _resnet_module)
        stem = MODULES[module][column] if module in MODULES else inside_of(path[:-1])
        names = (_joined(stem, leaf),) if stem else ("",)
    if layout.family == "flax":
        new = FLAX_LEAVES.get(leaf, "kernel")
        return tuple(re.sub(r"\.weight$", f".{new}", name) for name in names)
    return tuple((layout.text_prefix if path[0] == "text" else "") + name for name in names)


def _joined(stem, leaf):
    """The name of a leaf; PyTorch's fused attention has in_proj_weight and in_proj_bias."""
    return f"{stem}{'_' if stem.endswith('in_proj') else '.'}{LEAVES[leaf]}"


def _stage_module(path):
    """("visual", "stage0", "downsample", "norm_x") -> "vision_model.encoder.stages.0....norm_x"."""
    stage = f"vision_model.encoder.stages.{path[1].removeprefix('stage')}"
    return ".".join((stage, *("layers" if part == "blocks" else part for part in path[2:])))


def _unit_module(path):
    """("visual", "unit3", "projection", "project_bn") -> "vision_model.encoder.blocks.3...."."""
    return ".".join((f"vision_model.encoder.blocks.{path[1].removeprefix('unit')}", *path[2:]))


def _resnet_module(path):
    """("visual", "layer1_0", "downsample_bn") -> "visual.layer1.0.downsample.1"."""
    shortcut = {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}
    renamed = shortcut | (ATTENTION_POOL if "attnpool" in path else {})
    parts = (renamed.get(m, re.sub(r"^layer(\d)_(\d+)$", r"layer\1.\2", m)) for m in path)
    return ".".join(parts)
