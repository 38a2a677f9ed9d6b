"""Weights of PyTorch checkpoints for our networks: conversion of names and layouts.

The official checkpoints of JINHYUKSUH/ADAPT, PALM and CIDER (`encoder.layer1.0... shortcut.0`),
Jingkang50/OpenOOD's CIFAR networks (no prefix, or `backbone.`) and pytorch/vision's (no prefix,
`downsample.0`) are supported. Every tensor must be present, have the right shape, and be used.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from adapt_jax.core import named, wrappers
from adapt_jax.models.base import Variables


class Layout(NamedTuple):
    """Where state dicts differ: what stands before an encoder's names, and a shortcut's name."""

    prefix: str = "encoder."
    shortcut: str = "shortcut"


class Pretrained(NamedTuple):
    """A network that starts from a state dict.

    kept: our stages ("head" or "fc") the file has nothing for, as they were initialised.
    ignored: the file's classifier tensors, where the network has no classifier.
    """

    variables: Variables
    kept: tuple[str, ...]
    ignored: tuple[str, ...]


OFFICIAL = Layout()
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_HEADS = ("head", "fc")
# Layouts, theirs -> ours, and back: OIHW -> HWIO; a linear layer's (out, in) -> (in, out).
_TO_OURS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
_TO_THEIRS = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}


def torch_name(path: tuple[str, ...], layout: Layout = OFFICIAL) -> str:
    """The state-dict name of one of our leaves, given its path below "params" or "batch_stats".

    ("encoder", "layer1_0", "shortcut_conv", "kernel") -> "encoder.layer1.0.shortcut.0.weight"
    """
    modules = {
        "shortcut_conv": f"{layout.shortcut}.0",
        "shortcut_bn": f"{layout.shortcut}.1",
        "hidden": "0",
        "output": "2",
    }
    inner = (modules.get(m, re.sub(r"^layer(\d+)_(\d+)$", r"layer\1.\2", m)) for m in path[1:-1])
    outer = layout.prefix if path[0] == "encoder" else f"{path[0]}."
    return outer + ".".join([*inner, _LEAVES[path[-1]]])


def detect(names: Iterable[str]) -> Layout:
    """The layout of a state dict, from its names."""
    names = tuple(names)
    prefixes = (p for p in ("encoder.", "backbone.") if any(n.startswith(p) for n in names))
    torchvision = any(".downsample." in n for n in names)
    return Layout(next(prefixes, ""), "downsample" if torchvision else "shortcut")


def from_torch(state: Mapping[str, np.ndarray], template: Variables) -> Variables:
    """The network of a PyTorch state dict, all of it.

    Args:
      state: the state dict, name -> array in PyTorch's layouts. Prefixes and counters of wrappers
        are dropped, see `core/wrappers.py`; `num_batches_tracked` is ignored.
      template: variables of the model, or their shapes (`jax.eval_shape(model.init, key)`); says
        which tensors there must be, their shapes and the dtypes of the result.

    Raises:
      InputError: names the tensors that are missing, unused or of the wrong shape, the first few
        of each.
    """
    return _convert(_clean(state), template)


def pretrained(state: Mapping[str, np.ndarray], variables: Variables) -> Pretrained:
    """An initialised network with the encoder of a state dict, and its head where it has one.

    As `from_torch`, except for what sits on the encoder: a head the state dict has nothing for
    stays as initialised, and its classifier is left out if the network has none.

    Args:
      state: the state dict, as in `from_torch`.
      variables: freshly initialised variables; or their shapes, to find out whether the state dict
        fits.

    Raises:
      InputError: as `from_torch`.
    """
    given = _clean(state)
    prefix = detect(given).prefix
    ours = variables["params"].keys()

    def tensors(stage):
        return {n for n in given if n.startswith((f"{stage}.", f"{prefix}{stage}."))}

    ignored = tensors("fc") if "fc" not in ours else set()
    kept = tuple(stage for stage in _HEADS if stage in ours and not tensors(stage))
    wanted = {
        kind: {stage: tree for stage, tree in stages.items() if stage not in kept}
        for kind, stages in variables.items()
    }
    converted = _convert({n: v for n, v in given.items() if n not in ignored}, wanted)
    merged = {kind: dict(stages) | converted.get(kind, {}) for kind, stages in variables.items()}
    return Pretrained(merged, kept, tuple(sorted(ignored)))


def _clean(state):
    return {
        name: np.asarray(value)
        for name, value in wrappers.unwrapped(state).items()
        if not name.endswith("num_batches_tracked")
    }


def _convert(given, template):
    layout = detect(given)
    leaves = flatten_dict(template)
    wanted = {path: torch_name(path[1:], layout) for path in leaves}
    shapes = {path: leaf.shape for path, leaf in leaves.items()}
    named.check(
        given,
        {wanted[path]: tuple(s[i] for i in _TO_THEIRS[len(s)]) for path, s in shapes.items()},
        what="the PyTorch weights do not fit the model",
        advice="choose the model, stem, width, blocks and head they were trained with",
    )

    def convert(path):
        value = given[wanted[path]]
        value = value.transpose(_TO_OURS[value.ndim])
        return jnp.asarray(np.ascontiguousarray(value, leaves[path].dtype))

    return unflatten_dict({path: convert(path) for path in wanted})
