"""Weights of the official PyTorch checkpoints (JINHYUKSUH/ADAPT, PALM, CIDER) for our networks.

Takes a state dict as NumPy arrays, strictly: everything must be there, fit, and be used.
"""

import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from adapt_jax.core.errors import InputError
from adapt_jax.models.base import Variables

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_MODULES = {
    "shortcut_conv": "shortcut.0",
    "shortcut_bn": "shortcut.1",
    "hidden": "0",
    "output": "2",
}
# Layouts, theirs -> ours, and back: OIHW -> HWIO; a linear layer's (out, in) -> (in, out).
_TO_OURS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
_TO_THEIRS = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}


def torch_name(path: tuple[str, ...]) -> str:
    """The state-dict name of one of our leaves, given its path below "params" or "batch_stats".

    ("encoder", "layer1_0", "shortcut_conv", "kernel") -> "encoder.layer1.0.shortcut.0.weight"
    """
    modules = (re.sub(r"^layer(\d+)_(\d+)$", r"layer\1.\2", _MODULES.get(m, m)) for m in path[:-1])
    return ".".join([*modules, _LEAVES[path[-1]]])


def from_torch(state: Mapping[str, np.ndarray], template: Variables) -> Variables:
    """The network of a PyTorch state dict.

    Args:
      state: name -> array, in PyTorch's layouts. `module.` (left by DataParallel) is dropped from
        names; `num_batches_tracked` is ignored.
      template: variables of the model, or their shapes (`jax.eval_shape(model.init, key)`); says
        which tensors there must be, their shapes and the dtypes of the result.

    Raises:
      InputError: names every tensor that is missing, unused or of the wrong shape.
    """
    wanted = {p: torch_name(p[1:]) for p in flatten_dict(template)}
    leaves = flatten_dict(template)
    given = {
        re.sub(r"(^|\.)module\.", r"\1", name): np.asarray(value)
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    missing = sorted(set(wanted.values()) - set(given))
    unused = sorted(set(given) - set(wanted.values()))
    wrong = []
    for path, name in wanted.items():
        shape = leaves[path].shape
        theirs = tuple(shape[axis] for axis in _TO_THEIRS[len(shape)])
        if name in given and given[name].shape != theirs:
            wrong.append(f"{name} is {given[name].shape}, not {theirs}")
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unused", unused), ("wrong shape", wrong))
        if names
    ]
    if problems:
        raise InputError(
            f"the PyTorch weights do not fit the model ({'; '.join(problems)}); "
            "choose the model, width, blocks and head they were trained with"
        )

    def convert(path):
        value = given[wanted[path]]
        return jnp.asarray(value.transpose(_TO_OURS[value.ndim]), leaves[path].dtype)

    return unflatten_dict({path: convert(path) for path in wanted})
