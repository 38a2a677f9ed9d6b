"""Recorded tiny models of transformers, an npz each: weights, files beside them, what they give."""

import pathlib

import numpy as np
import safetensors.numpy

from tests.conftest import GOLDEN


def unpack(name: str, folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Writes a model as `save_pretrained` did; returns what it was fed and gave, images NHWC."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    weights, recorded = {}, {}
    folder.mkdir(exist_ok=True)
    for key, value in arrays.items():
        kind, _, rest = key.partition("/")
        if kind == "weights":
            weights[rest] = value
        elif kind == "file":
            (folder / rest).write_bytes(value.tobytes())
        elif key.endswith("_nchw"):
            recorded[key.removesuffix("_nchw")] = value.transpose(0, 2, 3, 1)
        else:
            recorded[key] = value
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    return recorded
