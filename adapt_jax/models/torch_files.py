"""Reading what `torch.save` writes (PyTorch >= 1.6) without PyTorch and without running its code.

Such a file is an uncompressed zip (pytorch/pytorch torch/serialization.py): `data.pkl`, a pickle of
names, shapes and strides, and one entry of raw bytes per storage. A pickle is a program that calls
the functions it names. Here each name that is allowed stands for an immutable object of this module
that calls nothing, and any other name is refused, so the program can only arrange names, shapes and
numbers.
"""

import functools
import io
import math
import pathlib
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from adapt_jax.core import wrappers
from adapt_jax.core.errors import InputError
from adapt_jax.core.named import listed

# Where checkpoints keep the network; anything else all of tensors counts if it is the only one.
_STATE_DICTS = ("state_dict", "model", "model_state_dict", "net", "network", "weights")
_ZIP = b"PK\x03\x04"
_BEFORE_1_6 = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch.serialization.MAGIC_NUMBER
_LARGEST_PROGRAM = 1 << 24  # bytes of data.pkl; a ResNet-101's has some 100 kB
_MOST_AXES = 8


class _Storage(NamedTuple):
    dtype: str
    key: str  # of the zip entry
    length: int  # elements


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _StorageType(NamedTuple):
    dtype: str


class _Inert:
    """Stands for an object that is not needed; calling it or setting its state changes nothing."""

    __slots__ = ()

    def __call__(self, *args) -> Any:
        return self

    def __setstate__(self, state) -> None:
        pass


class _Rebuild(_Inert):
    """torch._utils._rebuild_tensor_v2"""

    __slots__ = ()

    def __call__(self, storage, offset, size, stride, *rest) -> _Tensor:
        return _Tensor(storage, offset, size, stride)


class _Parameter(_Inert):
    """torch._utils._rebuild_parameter"""

    __slots__ = ()

    def __call__(self, data, *rest) -> _Tensor:
        return data


class _Size(_Inert):
    """torch.Size"""

    __slots__ = ()

    def __call__(self, sizes) -> tuple:
        return tuple(sizes)


class _NewDict(_Inert):
    """collections.OrderedDict"""

    __slots__ = ()

    def __call__(self, *items) -> "_Dict":
        return _Dict(*items)


class _Dict(dict):
    """A dictionary that lets PyTorch attach its `_metadata`, and forgets it."""

    def __setstate__(self, state) -> None:
        pass


_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": jnp.dtype(jnp.bfloat16).name,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
_GLOBALS = {
    ("collections", "OrderedDict"): _NewDict(),
    ("torch", "Size"): _Size(),
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _Parameter(),
    **{
        (module, name): _StorageType(dtype)
        for name, dtype in _STORAGES.items()
        for module in ("torch", "torch.storage")
    },
    **{("torch", dtype): _Inert() for dtype in _STORAGES.values()},
    # A best accuracy, a set of epochs: NumPy scalars and sets may stand beside the weights.
    ("numpy", "dtype"): _Inert(),
    ("numpy.core.multiarray", "scalar"): _Inert(),
    ("numpy._core.multiarray", "scalar"): _Inert(),
    ("_codecs", "encode"): _Inert(),
    ("builtins", "set"): _Inert(),
    ("__builtin__", "set"): _Inert(),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _GLOBALS:
            shown = f"{module}.{name}"[:80]
            raise InputError(
                f"names {shown!r}, which a file of tensors has no need for, so it is not read; "
                "where PyTorch is installed and the file is trusted, save model.state_dict() alone"
            )
        return _GLOBALS[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _StorageType(dtype), str(key), _, int(length)):
                return _Storage(dtype, key, length)
        raise pickle.UnpicklingError("a storage is not described as PyTorch does")


def read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint's state dict: name -> read-only array, in the file's dtypes.

    The state dict is the whole file or what it holds under `state_dict`, `model` or the like.
    bfloat16 tensors have ml_dtypes' type.

    Raises:
      InputError: no zip file of PyTorch's (the message has a command that converts older ones), a
        damaged one, one that names anything but tensors and plain values, none or several state
        dicts, or a tensor that reaches outside its storage.
    """
    try:
        return _read(file)
    except InputError as e:
        raise InputError(f"{file} {e}") from None
    except Exception as e:  # zipfile and pickle raise almost anything on damaged or hostile files
        raise InputError(
            f"{file} cannot be read as a PyTorch checkpoint ({type(e).__name__}: {e}); "
            "download or save it again"
        ) from None


def _read(file: pathlib.Path) -> dict[str, np.ndarray]:
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
        state = _state_dict(_run(_entry(archive, programs[0], _LARGEST_PROGRAM)))
        load = functools.cache(lambda key: _entry(archive, f"{folder}data/{key}"))
        return {name: _array(name, tensor, load) for name, tensor in state.items()}


def _entry(archive: zipfile.ZipFile, name: str, largest: float = math.inf) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:  # a small file could become any number of bytes
        raise InputError(f"has a compressed entry, {name}; torch.save writes none: save it again")
    if info.file_size > largest:
        raise InputError(f"has {info.file_size:,} bytes in {name}; at most {largest:,} are read")
    return archive.read(info)


_MOST_TUPLES = 20_000  # a ResNet-101 has 4,000


def _run(program: bytes) -> Any:
    """What the pickle builds, out of our objects."""
    tuples = 0
    for opcode, argument, _ in pickletools.genops(program):  # also refuses arguments cut short
        tuples += opcode.name.startswith("TUPLE")
        if tuples > _MOST_TUPLES:  # nested as keys, they overflow the interpreter's stack
            raise pickle.UnpicklingError("it nests more tuples than any network has")
        if opcode.name.startswith("EXT"):  # these may find a class without asking find_class
            raise pickle.UnpicklingError("a class is named by number")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(program):
            raise pickle.UnpicklingError("more memory is asked for than the file can use")
    return _Unpickler(io.BytesIO(program)).load()


def _state_dict(root: Any) -> Mapping[str, _Tensor]:
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
        and all(isinstance(k, str) and isinstance(v, _Tensor) for k, v in value.items())
    )


def _array(name: str, tensor: _Tensor, load: Callable[[str], bytes]) -> np.ndarray:
    """A view of the storage's bytes, after checking that it lies inside them."""
    storage, offset, size, stride = tensor
    if not (
        isinstance(storage, _Storage)
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
