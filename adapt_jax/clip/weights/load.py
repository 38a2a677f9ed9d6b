"""`clip.load`: a model from a folder laid out as on the hub, from one file, or from the hub."""

import pathlib
import re
from collections.abc import Mapping

import jax

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.library_tokenizer import LibraryTokenizer
from adapt_jax.clip.model import DTYPES, Model, shapes
from adapt_jax.clip.released_models import RELEASED
from adapt_jax.clip.tower_records import TextTransformer
from adapt_jax.clip.weights import (
    config_files,
    files,
    hub,
    huggingface_configs,
    library_tokenizers,
    names,
    preprocess_files,
    released,
    tokenizer_files,
)
from adapt_jax.core import wrappers
from adapt_jax.core.errors import InputError

_HF_CONFIG, _OC_CONFIG = "config.json", "open_clip_config.json"
_HF_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "flax_model.msgpack")
_OC_WEIGHTS = ("open_clip_model.safetensors", "open_clip_model.safetensors.index.json")


def load(
    path: str | pathlib.Path,
    revision: str | None = None,
    *,
    dtype: str = "float32",
    architecture: Architecture | Mapping | str | pathlib.Path | None = None,
) -> Model:
    """A pretrained CLIP, or SigLIP.

    Args:
      path: a folder as Hugging Face lays it out (config.json and model.safetensors, whole or in
        shards, or flax_model.msgpack; `model_type` says what it is) or OpenCLIP
        (open_clip_config.json and open_clip_model.safetensors); one weights file with its
        configuration beside it, or with none in OpenAI's layout; or the name of a repository on the
        Hugging Face hub, `org/name`.
      revision: commit of the repository, to get the same weights for ever. By default the current
        one, which `Model.source` names.
      dtype: dtype that the towers compute in: "float32", "bfloat16" or "float16".
      architecture: architecture to use instead of that of the files: an `Architecture`, a key of
        `RELEASED`, or the path or content of a JSON file of Hugging Face or OpenCLIP. Released
        models without a configuration are recognised by their tensors; see `Model.guess`.

    Raises:
      InputError: nothing there, only a pickle, a model that is not a CLIP or has unsupported
        options, another tokenizer beside the weights, or tensors that are missing, unused or of the
        wrong shape. It names them.
    """
    if dtype not in DTYPES:
        raise InputError(f"unknown CLIP dtype {dtype!r}; known: {', '.join(DTYPES)}")
    folder = pathlib.Path(path).expanduser()
    source = str(path)
    if not folder.exists():
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
            raise InputError(f"there is no CLIP at {path}: no such file or folder")
        weights, commit = hub.fetch(str(path), revision, weights_names)
        source = f"{path}@{commit}"
    elif revision is not None:
        raise InputError(f"{path} is on this machine, where a revision ({revision}) says nothing")
    else:
        weights = _weights_in(folder) if folder.is_dir() else folder
    try:
        configuration = _given(architecture) or _config_beside(weights)
        tokenizer = _tokenizer(weights.parent, configuration)
        tensors = wrappers.unwrapped(files.read(weights))
        guess = ""
        if configuration is None:
            configuration, guess = released.recognised(
                {n: value.shape for n, value in tensors.items()}
            )
        params = names.read(tensors, shapes(configuration))
    except InputError as e:
        raise InputError(f"CLIP from {source}: {e}") from None
    params = jax.device_put(params)
    return Model(configuration, params, dtype, source, guess, tokenizer)


def _tokenizer(folder: pathlib.Path, architecture: Architecture | None) -> LibraryTokenizer | None:
    """The tokenizer beside the weights; None for CLIP's own, found not to be another one."""
    if architecture is None or isinstance(architecture.text, TextTransformer):
        tokenizer_files.check_folder(folder)
        return None
    config = folder / _HF_CONFIG
    fields = config_files.read_json(config) if config.is_file() else {}
    pad = huggingface_configs.pad_token_id(fields)
    return library_tokenizers.read(folder, architecture.text, pad)


def _given(architecture) -> Architecture | None:
    """The architecture that a caller names, if one does."""
    if isinstance(architecture, str) and architecture in RELEASED:
        return RELEASED[architecture]
    if isinstance(architecture, str | pathlib.Path):
        file = pathlib.Path(architecture).expanduser()
        if not file.is_file():
            names = ", ".join(RELEASED)
            raise InputError(
                f"there is no released model and no file called {architecture}; known: {names}"
            )
        architecture = config_files.read_json(file)
    return config_files.read(architecture) if isinstance(architecture, Mapping) else architecture


def weights_names(folder: pathlib.Path) -> tuple[str, ...]:
    """Names of the weights files that go with the configurations in a folder, the best first.

    A repository may hold several. model.safetensors counts only with the config.json of a CLIP:
    beside OpenCLIP's files it can also be timm's image tower.
    """
    file = folder / _HF_CONFIG
    names: tuple[str, ...] = ()
    if file.is_file() and config_files.is_huggingface(config_files.read_json(file)):
        names += _HF_WEIGHTS
    if (folder / _OC_CONFIG).is_file():
        names += _OC_WEIGHTS
    return names


def _weights_in(folder):
    present = [folder / name for name in weights_names(folder) if (folder / name).is_file()]
    readable = (*_HF_WEIGHTS, *_OC_WEIGHTS)
    others = [file for file in folder.glob("*.safetensors") if file.name not in readable]
    if not present and len(others) != 1:
        raise InputError(_nothing_in(folder))
    return (present or others)[0]


def _config_beside(weights):
    """The configuration in the files next to some weights; None if there is none."""
    stem = weights.name.split(".")[0]
    candidates = [_HF_CONFIG, _OC_CONFIG]
    if stem.startswith("open_clip"):
        candidates.reverse()
    for name in (f"{stem}_config.json", *candidates):
        file = weights.parent / name
        if file.is_file():
            return config_files.read(config_files.read_json(file), _preprocessor(weights.parent))
    return None


def _preprocessor(folder):
    """How images are prepared; transformers 5 may write that into the processor's file."""
    alone, whole = folder / preprocess_files.HUGGINGFACE, folder / "processor_config.json"
    if alone.is_file():
        return config_files.read_json(alone)
    return config_files.read_json(whole).get("image_processor") if whole.is_file() else None


def _nothing_in(folder):
    pickles = sorted(f for f in folder.iterdir() if f.suffix in files.PICKLES)
    if pickles:
        return files.pickle_message(pickles[0])
    several = sorted(f.name for f in folder.glob("*.safetensors"))
    if several:
        return (
            f"{folder} has weights ({', '.join(several[:3])}) but no {_HF_CONFIG} or {_OC_CONFIG} "
            "of a CLIP that belongs to them; add it, or give the path of one weights file"
        )
    readable = ", ".join((*_HF_WEIGHTS, *_OC_WEIGHTS))
    return f"{folder} has no CLIP weights that we read; known names: {readable}"
