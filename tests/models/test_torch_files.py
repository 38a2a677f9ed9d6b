"""PyTorch's checkpoints: one that PyTorch wrote, and files assembled by hand, most of them bad.

golden/torch_checkpoint.pth is what torch.save of PyTorch 2.13 wrote, with the entries of CIDER's
checkpoints (a state dict, the optimiser's, the losses') and plain values beside them.
"""

import os
import pathlib
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import pretrained
from tests.e2e import small

CHECKPOINT = pathlib.Path(__file__).parents[1] / "golden" / "torch_checkpoint.pth"
KINDS = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")


class Raw(bytes):
    """Opcodes that leave one value on the stack."""


def name(module, attribute):
    return Raw(f"c{module}\n{attribute}\n".encode())


def call(function, *args):
    return Raw(pickled(function) + pickled(args) + b"R")


def pickled(value):
    """The opcodes for a value: PyTorch's protocol 2, without its memo."""
    match value:
        case Raw():
            return value
        case bool() | None:
            return {True: b"\x88", False: b"\x89", None: b"N"}[value]
        case int():
            return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(pickled, value)) + b"t"
        case dict():
            return b"}(" + b"".join(pickled(k) + pickled(v) for k, v in value.items()) + b"u"


def storage(length=6, key="0", kind="FloatStorage"):
    return Raw(pickled(("storage", name("torch", kind), key, "cuda:0", length)) + b"Q")


def tensor(size=(2, 3), stride=(3, 1), offset=0, stored=None):
    hooks = call(name("collections", "OrderedDict"))
    stored = storage() if stored is None else stored
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, stored, offset, size, stride, False, hooks)


@pytest.fixture
def read(tmp_path):
    """Writes a checkpoint around what the pickle makes, and reads it."""

    def read(value, *, compression=zipfile.ZIP_STORED, entries=None, program=None):
        path = tmp_path / "w.pth"
        data = np.arange(6, dtype="<f4").tobytes()
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("w/data.pkl", program or b"\x80\x02" + pickled(value) + b".")
            for entry, content in ({"data/0": data} | (entries or {})).items():
                archive.writestr(f"w/{entry}", content)
        return models.read_weights(str(path), allow_pickle=True)

    return read


def test_what_pytorch_wrote():
    state = models.read_weights(str(CHECKPOINT), allow_pickle=True)
    whole = np.arange(24, dtype=np.float32)
    expected = {
        "whole": whole.reshape(2, 3, 4),
        "part": whole[4:16].reshape(3, 4).T,
        "every_other": whole[1::2],
        "parameter": np.array([[-1.5, 2.5]], np.float32),
        "scalar": np.array(7),
    } | {kind: np.array([1, 2, 100], jnp.dtype(kind)) for kind in KINDS}
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(state[key], value)
        assert (state[key].dtype, state[key].shape) == (value.dtype, value.shape), key


def test_the_state_dict_is_found(read):
    state = {"a.weight": tensor()}
    ordered = call(name("collections", "OrderedDict"))
    metadata = Raw(
        ordered + b"(" + pickled("a.weight") + tensor() + b"u" + pickled({"v": 1}) + b"b"
    )
    parameter = call(name("torch._utils", "_rebuild_parameter"), tensor(), True, ordered)
    for value in (
        state,
        metadata,
        {"a.weight": parameter},
        {"epoch": 3, "model": state, "opt": {"lr": 1}},
        {"state_dict": state, "dis_state_dict": {"prototypes": tensor()}},
        {"encoder": state, "shape": call(name("torch", "Size"), (2, 3))},
    ):
        found = read(value)
        assert found.keys() == {"a.weight"}
        np.testing.assert_array_equal(found["a.weight"], np.arange(6).reshape(2, 3))
    with pytest.raises(InputError, match=r"several state dicts \(first, second\)"):
        read({"first": state, "second": state})
    with pytest.raises(InputError, match=r"several state dicts \(model, net\)"):
        read({"model": state, "ema": state, "net": state})
    for averaged in ("ema", "state_dict_ema", "swa_model"):
        with pytest.raises(InputError, match=rf"a network \(model\) and an averaged.*{averaged}"):
            read({"model": state, averaged: state})
    for value, has in (({"epoch": 3, "model": {}}, "epoch, model"), (tensor(), "nothing with a")):
        with pytest.raises(InputError, match=f"no state dict.*it has {has}"):
            read(value)


PROTOCOL_4 = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(s)]) + s for s in (b"os", b"system"))
TOUCH = "touch ran"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (call(name("os", "system"), TOUCH), r"os\.system"),
        (call(name("posix", "system"), TOUCH), r"posix\.system"),
        (call(name("builtins", "eval"), "open('ran', 'w')"), r"builtins\.eval"),
        (call(name("builtins", "getattr"), tensor(), "x"), r"builtins\.getattr"),
        ({"model": {"w": tensor()}, "args": call(name("os", "system"), TOUCH)}, r"os\.system"),
        ({"w": tensor(stored=call(name("os", "system"), TOUCH))}, r"os\.system"),
        (call(name("torch", "Size"), call(name("os", "system"), TOUCH)), r"os\.system"),
        (call(name("torch.storage", "_load_from_bytes"), "x"), r"torch\.storage\._load_from_bytes"),
        (
            call(name("torch._utils", "__builtins__.eval"), "x"),
            r"torch\._utils\.__builtins__\.eval",
        ),
        (name("models.resnet", "SSLResNet"), r"models\.resnet\.SSLResNet"),
        (Raw(b"(ios\nsystem\n"), r"os\.system"),  # INST
        (Raw(b"(" + name("os", "system") + pickled(TOUCH) + b"o"), r"os\.system"),  # OBJ
        (Raw(PROTOCOL_4 + b"\x93(" + pickled(TOUCH) + b"tR"), r"os\.system"),  # STACK_GLOBAL
    ],
)
def test_nothing_else_is_called(read, tmp_path, monkeypatch, value, named):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"w.pth names '{named}', .*save model.state_dict"):
        read(value)
    assert not (tmp_path / "ran").exists()


class Harmful:
    def __reduce__(self):
        return os.system, (TOUCH,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_refused(read, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="system', which a file of tensors has no need for"):
        read(None, program=pickle.dumps({"model": [Harmful()]}, protocol))
    assert not (tmp_path / "ran").exists()


def test_what_stands_for_pytorchs_names_cannot_be_changed(read):
    """BUILD sets attributes: what one file does to our objects must not reach the next file."""
    slots = (None, {"__call__": 1, "dtype": "int8", "apply": 2})
    for known in (
        name("collections", "OrderedDict"),
        name("torch._utils", "_rebuild_tensor_v2"),
        name("torch", "FloatStorage"),
        name("numpy", "dtype"),
        tensor(),
    ):
        for state in ({"dtype": "int8"}, slots):
            changed = Raw(known + pickled(state) + b"b")
            with pytest.raises(InputError):
                read({"changed": changed})
        with pytest.raises(InputError):  # NEWOBJ: only classes can be instantiated that way
            read({"new": Raw(known + b")\x81")})
    np.testing.assert_array_equal(read({"w": tensor()})["w"], np.arange(6).reshape(2, 3))


def test_optimisers_and_schedules_are_left_out(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    optimiser = Raw(name("torch.optim.sgd", "SGD") + b")\x81")
    for state in ({"lr": 1}, (None, {"step": 1}), {"__class__": 1, "__new__": tensor()}):
        schedule = Raw(name("torch.optim.lr_scheduler", "StepLR") + b")\x81")
        held = {**state, "optimizer": optimiser} if isinstance(state, dict) else state
        schedule = Raw(schedule + pickled(held) + b"b")
        found = read({"state_dict": {"w": tensor()}, "scheduler": schedule})
        np.testing.assert_array_equal(found["w"], np.arange(6).reshape(2, 3))
    made = call(name("collections", "defaultdict"), name("__builtin__", "dict"))
    assert read({"model": {"w": tensor()}, "state": made}).keys() == {"w"}
    for changed in (
        Raw(name("torch.optim.sgd", "SGD") + pickled({"__new__": 1}) + b"b"),  # the class itself
        Raw(optimiser + pickled("key") + pickled(1) + b"s"),
        {"w": optimiser},
    ):
        with pytest.raises(InputError):
            read({"changed": changed})
    with pytest.raises(InputError, match=r"names 'torch\.optim\.lr_scheduler\.LambdaLR'"):
        read({"w": tensor(), "x": Raw(name("torch.optim.lr_scheduler", "LambdaLR") + b")\x81")})


@pytest.mark.parametrize(
    "choices",
    [
        {"size": (3, 3)},
        {"offset": 1},
        {"stride": (4, 1)},
        {"size": (7,), "stride": (0,)},
        {"size": (1 << 62, 0), "stride": (1, 1)},
        {"size": (0,), "stride": (1,)},
        {"size": (), "stride": (), "offset": 6},
    ],
)
def test_views_outside_their_storage_are_refused(read, choices):
    with pytest.raises(InputError, match=r"tensor w of shape .* does not lie inside its storage"):
        read({"w": tensor(**choices)})


@pytest.mark.parametrize(
    "choices",
    [
        {"offset": -1},
        {"stride": (-3, 1)},
        {"stride": (3,)},
        {"size": (1 << 64, 1)},
        {"size": ("2", 3)},
        {"size": 6},
        {"stored": {"a": 1}},
        {"size": (1,) * 9, "stride": (1,) * 9},
    ],
)
def test_views_that_are_no_views_are_refused(read, choices):
    with pytest.raises(InputError, match="tensor w by something else than numbers"):
        read({"w": tensor(**choices)})


def test_storages_are_checked(read):
    strided = read({"w": tensor((2, 2), (1, 3), 1)})["w"]
    np.testing.assert_array_equal(strided, [[1, 4], [2, 5]])
    with pytest.raises(InputError, match="lacks a part of tensor w"):
        read({"w": tensor(stored=storage(length=7))})
    with pytest.raises(InputError, match="no item named 'w/data/1'"):
        read({"w": tensor(stored=storage(key="1"))})
    with pytest.raises(InputError, match="no item named 'w/data/../data.pkl'"):
        read({"w": tensor(stored=storage(key="../data.pkl"))})
    with pytest.raises(InputError, match=r"names 'torch\.QUInt8Storage'"):
        read({"w": tensor(stored=storage(kind="QUInt8Storage"))})
    with pytest.raises(InputError, match="a storage is not described as PyTorch does"):
        read({"w": tensor(stored=Raw(pickled("somewhere else") + b"Q"))})


def test_other_zip_files_are_refused(read, tmp_path):
    state = {"w": tensor()}
    with pytest.raises(InputError, match="compressed entry, w/data.pkl"):
        read(state, compression=zipfile.ZIP_DEFLATED)
    assert read(state, entries={"byteorder": b"little", "version": b"3\n"}).keys() == {"w"}
    with pytest.raises(InputError, match="big-endian"):
        read(state, entries={"byteorder": b"big"})
    with zipfile.ZipFile(tmp_path / "other.bin", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"other.bin is a zip file, but not one that torch.save"):
        models.read_weights(str(tmp_path / "other.bin"), allow_pickle=True)


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"\x80\x02}",  # no STOP
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo of 2 billion entries
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x00.",  # a bytearray of 72 PB
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02" + b"(" * 9 + b".",
    ],
)
def test_broken_pickles_are_refused(read, program):
    with pytest.raises(InputError, match="cannot be read as a PyTorch checkpoint|no state dict"):
        read(None, program=program or b".")


def test_damaged_and_older_files(tmp_path):
    whole = CHECKPOINT.read_bytes()
    path = tmp_path / "w.ckpt"

    def refused(content, message):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            models.read_weights(str(path), allow_pickle=True)

    refused(whole[:-40], "w.ckpt cannot be read as a PyTorch checkpoint .*again")
    data = whole.index(np.arange(24, dtype=np.float32).tobytes())
    refused(whole[:data] + b"\x01" + whole[data + 1 :], "Bad CRC-32")
    refused(b"", "is not a checkpoint that torch.save wrote")
    refused(pickle.dumps({"w": 1}), "is not a checkpoint that torch.save wrote")
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # how a file of PyTorch 1.5 begins
    refused(
        magic + b"\x80\x02M\xe9\x03.", r"before version 1.6; .*torch.load\('w.ckpt'.*w_new.ckpt"
    )
    with pytest.raises(InputError, match="does not exist"):
        models.read_weights(str(tmp_path / "none.pth"), allow_pickle=True)


def test_a_run_asks_for_it(tmp_path):
    config = small.config(model__pretrained=str(CHECKPOINT))
    with pytest.raises(InputError, match="--config.model.allow_pickle=true"):
        pretrained.check(config)
    config.model.allow_pickle = True
    with pytest.raises(InputError, match=r"field model.pretrained, .* do not fit .*every_other"):
        pretrained.check(config)
