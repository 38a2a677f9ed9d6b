"""The pickles inside PyTorch's checkpoints, in which names stand for nothing that could run.

A pickle is a program that calls the functions it names. Here each name that is allowed stands for
an immutable object of this module that calls nothing, and any other name is refused, so the program
can only arrange names, shapes and numbers.
"""

import io
import pickle
import pickletools
from typing import Any, NamedTuple

import jax.numpy as jnp

from adapt_jax.core.errors import InputError

_MOST_TUPLES = 20_000  # a ResNet-101 has 4,000


class Storage(NamedTuple):
    """The elements of one or more tensors: their dtype, zip entry and number."""

    dtype: str
    key: str
    length: int


class Tensor(NamedTuple):
    """Where a tensor lies in its storage, in elements."""

    storage: Storage
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

    def __call__(self, storage, offset, size, stride, *rest) -> Tensor:
        return Tensor(storage, offset, size, stride)


class _Parameter(_Inert):
    """torch._utils._rebuild_parameter"""

    __slots__ = ()

    def __call__(self, data, *rest) -> Tensor:
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


class _NewEmptyDict(_Inert):
    """collections.defaultdict, whose argument makes the values that are missing"""

    __slots__ = ()

    def __call__(self, *args) -> "_Dict":
        return _Dict()


class _Unused:
    """Stands for a class whose objects are not needed: they take any state and keep none."""

    __slots__ = ()

    def __new__(cls, *args):
        return object.__new__(cls)

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
    # Dassl's checkpoints (CoOp's) hold a schedule that holds the optimiser.
    ("collections", "defaultdict"): _NewEmptyDict(),
    ("builtins", "dict"): _Inert(),
    ("__builtin__", "dict"): _Inert(),
    **{
        (f"torch.optim.{module}", name): _Unused
        for module, names in {
            "lr_scheduler": ("CosineAnnealingLR", "MultiStepLR", "StepLR"),
            "sgd": ("SGD",), "adam": ("Adam",), "adamw": ("AdamW",), "rmsprop": ("RMSprop",),
        }.items()
        for name in names
    },
}  # fmt: skip


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _GLOBALS:
            shown = f"{module}.{name}"[:80]
            raise InputError(
                f"names {shown!r}, which a file of tensors has no need for, so it is not read; "
                "where PyTorch is installed and the file is trusted, save model.state_dict() alone"
            )
        return _GLOBALS[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        match pid:
            case ("storage", _StorageType(dtype), str(key), _, int(length)):
                return Storage(dtype, key, length)
        raise pickle.UnpicklingError("a storage is not described as PyTorch does")


def run(program: bytes) -> Any:
    """What the pickle builds, out of our objects.

    Raises:
      InputError: it names anything but tensors and plain values. Damaged pickles raise much else.
    """
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
