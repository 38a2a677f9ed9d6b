"""Reading what `torch.save` writes (PyTorch >= 1.6) without PyTorch and without running its code.

Such a file is an uncompressed zip (pytorch/pytorch torch/serialization.py): `data.pkl`, a pickle of
names, shapes and strides, and one entry of raw bytes per storage. `torch_pickles` runs the pickle
such that it can only arrange names, shapes and numbers.
"""

import functools
import math
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from adapt_jax.core import wrappers
from adapt_jax.core.errors import InputError
from adapt_jax.core.named import listed
from adapt_jax.models.torch_pickles import Storage, Tensor, run

# Where checkpoints keep the network; anything else all of tensors counts if it is the only one.
_STATE_DICTS = ("state_dict", "model", "model_state_dict", "net", "network", "weights")
_ZIP = b"PK\x03\x04"
_BEFORE_1_6 = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch.serialization.MAGIC_NUMBER
_LARGEST_PROGRAM = 1 << 24  # bytes of data.pkl; a ResNet-101's has some 100 kB
_MOST_AXES = 8


def read(
    file: pathlib.Path, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint's state dict: name -> read-only array, in the file's dtypes.

    The state dict is the whole file or what it holds under `state_dict`, `model` or the like.
    bfloat16 tensors have ml_dtypes' type.

    Args:
      file: path of the checkpoint.
      wanted: function of a tensor's name that says whether it is read.

    Raises:
      InputError: no zip file of PyTorch's (the message has a command that converts older ones), a
        damaged one, one that names anything but tensors and plain values, none or several state
        dicts, or a tensor that reaches outside its storage.
    """
    try:
        return _read(file, wanted)
    except InputError as e:
        raise InputError(f"{file} {e}") from None
    except Exception as e:  # zipfile and pickle raise almost anything on damaged or hostile files
        raise InputError(
            f"{file} cannot be read as a PyTorch checkpoint ({type(e).__name__}: {e}); "
            "download or save it again"
        ) from None


def _read(file: pathlib.Path, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    with file.open("rb") as stream:
        start = stream.read(len(_BEFORE_1_6))
    if start == _BEFORE_1_6:
        raise InputError(
            "is in PyTorch's format from before version 1.6; write it anew, where PyTorch is "
            f"installed: python -c \"import torch; torch.save(torch.load('{file.name}', "
            f"map_location='cpu', weights_only=True), '{file.stem}_new{file.suffix}')\""
        )
    if not start.startswith(_ZIP):
        raise InputError("is not a checkpoint that torch.save wrote")
    with zipfile.ZipFile(file) as archive:
        programs = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(programs) != 1:
            raise InputError("is a zip file, but not one that torch.save wrote (no data.pkl)")
        folder = programs[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist():
            order = _entry(archive, f"{folder}byteorder")
            if order != b"little":
                raise InputError("holds big-endian numbers; save it on a little-endian machine")
        state = _state_dict(run(_entry(archive, programs[0], _LARGEST_PROGRAM)))
        load = functools.cache(lambda key: _entry(archive, f"{folder}data/{key}"))
        return {name: _array(name, state[name], load) for name in state if wanted(name)}


def _entry(archive: zipfile.ZipFile, name: str, largest: float = math.inf) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:  # a small file could become any number of bytes
        raise InputError(f"has a compressed entry, {name}; torch.save writes none: save it again")
    if info.file_size > largest:
        raise InputError(f"has {info.file_size:,} bytes in {name}; at most {largest:,} are read")
    return archive.read(info)


def _state_dict(root: Any) -> Mapping[str, Tensor]:
    if _all_tensors(root):
        return root
    entries = root if isinstance(root, dict) else {}
    candidates = [key for key, value in entries.items() if _all_tensors(value)]
    preferred = [key for key in candidates if key in _STATE_DICTS] or candidates
    averaged = [key for key in wrappers.averaged_copies(entries) if key not in preferred]
    if len(preferred) == 1 and averaged:
        raise InputError(
            f"holds a network ({listed(preferred)}) and an averaged copy "
            f"({listed(averaged)}); save the one you want alone, where PyTorch is installed"
        )
    if len(preferred) == 1:
        return entries[preferred[0]]
    if preferred:
        raise InputError(
            f"holds several state dicts ({_listed(preferred)}); save the one you want alone, where "
            "PyTorch is installed"
        )
    names = _listed(entries) or "nothing with a name"
    raise InputError(
        f"holds no state dict, neither as a whole nor under a name (it has {names}); save "
        "model.state_dict() alone, where PyTorch is installed"
    )


def _all_tensors(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def _array(name: str, tensor: Tensor, load: Callable[[str], bytes]) -> np.ndarray:
    """A view of the storage's bytes, after checking that it lies inside them."""
    storage, offset, size, stride = tensor
    if not (
        isinstance(storage, Storage)
        and isinstance(size, tuple)
        and isinstance(stride, tuple)
        and len(size) == len(stride) <= _MOST_AXES
        and all(isinstance(n, int) and 0 <= n < 1 << 63 for n in (offset, *size, *stride))
    ):
        raise InputError(f"describes tensor {name} by something else than numbers; it is damaged")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # No more elements than the storage: steps of 0 could claim any number of them.
    if not 0 < math.prod(size) <= storage.length or last >= storage.length:
        raise InputError(
            f"has a tensor {name} of shape {size}, strides {stride} and offset {offset} that is "
            f"empty or does not lie inside its storage of {storage.length} elements"
        )
    dtype = np.dtype(storage.dtype)
    data = load(storage.key)
    if len(data) < storage.length * dtype.itemsize:
        raise InputError(f"lacks a part of tensor {name}; download or save it again")
    flat = np.frombuffer(data, dtype, storage.length)[offset:]
    steps = [step * dtype.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(flat, size, steps, writeable=False)


def _listed(names) -> str:
    return listed(str(name)[:80] for name in names if isinstance(name, str))
