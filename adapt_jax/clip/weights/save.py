"""Writing a model as Hugging Face lays it out, for `load` here and `CLIPModel` there."""

import json
import pathlib

import safetensors.numpy

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.model import Params
from adapt_jax.clip.tower_records import TextTransformer, VisionTransformer
from adapt_jax.clip.weights import config_files, names, preprocess_files
from adapt_jax.core.errors import InputError


def save(folder: str | pathlib.Path, params: Params, architecture: Architecture) -> None:
    """Writes config.json, preprocessor_config.json and model.safetensors (float32).

    `load(folder)` gives the same parameters and embeddings. Two things become Hugging Face's own,
    as its configuration cannot express them: the kernel that interpolates positions to other image
    sizes, and when a preprocessing variant converts to RGB and how it rounds offsets.

    Args:
      folder: folder to write to, created if need be; files of these names are replaced.
      params, architecture: the model's parameters and architecture, such as those of a `Model`.

    Raises:
      InputError: a ResNet, which this layout does not have, or a relative of CLIP.
    """
    vision, text = type(architecture.vision), type(architecture.text)
    if (vision, text) != (VisionTransformer, TextTransformer):
        raise InputError(
            "only a CLIP with a ViT can be saved in Hugging Face's layout, not one with "
            f"{vision.__name__} and {text.__name__} (a ResNet has no place there)"
        )
    folder = pathlib.Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "config.json": config_files.write_huggingface(architecture),
        preprocess_files.HUGGINGFACE: preprocess_files.write_huggingface(architecture),
    }
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    # The weights last, and at once: a folder with weights is whole.
    weights, part = folder / "model.safetensors", folder / "model.safetensors.part"
    safetensors.numpy.save_file(
        names.write(params, names.HUGGINGFACE), part, metadata={"format": "pt"}
    )
    part.chmod(0o644)  # the library's 0600 would hide the weights from colleagues
    part.replace(weights)
