"""Tensors by name from `.safetensors`, whole or in shards, and Flax's `.msgpack`. No pickles."""

import pathlib

import jax.numpy as jnp
import numpy as np
from flax import serialization
from flax.traverse_util import flatten_dict

from adapt_jax.clip.weights.config_files import read_json
from adapt_jax.core.errors import InputError
from adapt_jax.core.stand_ins import refuse_stand_in
from adapt_jax.core.tensor_files import read_safetensors

INDEX = ".safetensors.index.json"
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file, in its own layout and dtypes.

    Args:
      path: path of a `.safetensors` or `.msgpack` file, or of the `.safetensors.index.json` of
        shards.

    Raises:
      InputError: a pickle (the message has a command that converts it), another kind of file, a
        damaged one, a Git LFS pointer or a web page in its place, or a shard is missing.
    """
    refuse_stand_in(path)
    if path.name.endswith(INDEX):
        return _shards(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix == ".msgpack":
        return _msgpack(path)
    if path.suffix in PICKLES:
        raise InputError(pickle_message(path))
    raise InputError(f"{path} is no weights file we read; give .safetensors or .msgpack")


def pickle_message(path: pathlib.Path) -> str:
    """Why this file is not read, and how to convert it once."""
    # What OpenAI distributes are TorchScript archives.
    load = "torch.jit.load({!r}, map_location='cpu').state_dict()"
    if path.suffix != ".pt":
        load = "torch.load({!r}, map_location='cpu', weights_only=True)"
    target = path.with_suffix(".safetensors").name
    if path.name in ("pytorch_model.bin", "open_clip_pytorch_model.bin"):
        target = path.name.replace("pytorch_", "").replace(".bin", ".safetensors")
    return (
        f"{path} is a pickle, which can run code when loaded, so it never is; convert it once, "
        'where PyTorch and safetensors are installed: python -c "import torch; from '
        f"safetensors.torch import save_file; s = {load.format(path.name)}; "
        f'save_file({{k: v.clone() for k, v in s.items()}}, {target!r})"'
    )


def _shards(index: pathlib.Path) -> dict[str, np.ndarray]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict):
        raise InputError(f"{index} has no weight_map; download it again")
    state: dict[str, np.ndarray] = {}
    for file in sorted(set(names.values())):
        if not (index.parent / file).is_file():
            raise InputError(f"{index} names {file}, which is not beside it; download it")
        state |= read(index.parent / file)
    return state


def _msgpack(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        tree = serialization.msgpack_restore(path.read_bytes())
        leaves = flatten_dict(tree.get("params", tree), sep=".")
        state = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    except Exception as e:  # msgpack has no common error for damaged files
        raise InputError(f"{path} cannot be read as .msgpack ({e}); write it again") from None
    strange = [name for name, leaf in state.items() if not jnp.issubdtype(leaf.dtype, jnp.number)]
    if strange:
        raise InputError(f"{path}: {strange[0]} is not an array of numbers")
    return state
