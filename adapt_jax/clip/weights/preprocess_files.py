"""How images are prepared for a model, as the files beside its weights say: mapped, or refused.

Rescaling and normalisation of any kind are one subtraction and one division, so they become `mean`
and `std`; resizing and cutting become a variant of `clip.preprocess` and `resize`. A field that
asks for anything else is named in an error: pixels that a tower was not trained on cost accuracy
without any other sign.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.preprocess import MEAN, STD, VARIANTS, Image
from adapt_jax.core.errors import InputError

HUGGINGFACE, OPEN_CLIP = "preprocessor_config.json", "preprocess_cfg"


class Processor(NamedTuple):
    """An image processor of transformers: its classes' names, and what it does by default.

    crop: whether the shorter side is resized and the middle cut out; otherwise all is squashed.
    """

    names: tuple[str, ...]
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    crop: bool = True

    def defaults(self, size: int) -> dict[str, Any]:
        """All fields of its file, for a tower of this image size."""
        return {
            "do_resize": True,
            "size": {"shortest_edge": size} if self.crop else {"height": size, "width": size},
            "resample": Image.Resampling.BICUBIC,
            "do_center_crop": self.crop,
            "crop_size": size,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": self.mean,
            "image_std": self.std,
            "image_processor_type": self.names[0],
            "feature_extractor_type": self.names[0],
        }


def _spelled(name: str) -> tuple[str, ...]:
    return tuple(
        f"{name}{end}" for end in ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil")
    )


CLIP = Processor((*_spelled("CLIP"), "CLIPFeatureExtractor"))
SIGLIP = Processor(_spelled("Siglip"), (0.5,) * 3, (0.5,) * 3, crop=False)
EFFICIENTNET = Processor(_spelled("EfficientNet"), (0.5,) * 3, (0.5,) * 3, crop=False).defaults(
    346
) | {"crop_size": 289, "rescale_offset": False, "include_top": True}
_ALIGN = {
    "resample": Image.Resampling.BILINEAR,
    "do_center_crop": True,
    "rescale_factor": 1 / 127.5,
    "rescale_offset": True,
    "do_normalize": False,
    "include_top": False,
}
# What does not change the pixels of an image.
_WITHOUT_EFFECT = {
    *("_name_or_path", "_processor_class", "_valid_processor_keys", "auto_map", "data_format"),
    *("device", "disable_grouping", "do_convert_rgb", "input_data_format", "processor_class"),
    *("return_tensors", "tokenizer_class", "transformers_version", "use_fast"),
}
_OPEN_CLIP = {
    "size": None,
    "mode": "RGB",
    "mean": MEAN,
    "std": STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,  # of the border that resize_mode "longest" leaves
}
_OPEN_CLIP_VARIANTS = {
    ("bicubic", "shortest"): "openai",
    ("bilinear", "shortest"): "bilinear",
    ("bicubic", "squash"): "squash",
}


class Prepared(NamedTuple):
    """Fields of `Architecture` of the same names."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    preprocessing: str
    resize: int = 0


def huggingface(
    fields: Mapping[str, Any], image_size: int, processor: Processor = CLIP
) -> Prepared:
    """What a preprocessor_config.json of Hugging Face asks for.

    Args:
      fields: fields of the file; {} means no file and gives the defaults of the processor.
      image_size: image size of the image tower.
      processor: the image processor that the model goes with.

    Raises:
      InputError: names the field that asks for what we cannot do.
    """
    get = _fields(fields, HUGGINGFACE, processor.defaults(image_size))
    for name in ("image_processor_type", "feature_extractor_type"):
        _one_of(get, HUGGINGFACE, name, processor.names)
    _one_of(get, HUGGINGFACE, "do_resize", (True,))
    _one_of(get, HUGGINGFACE, "resample", (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR))
    bilinear = get["resample"] == Image.Resampling.BILINEAR
    size = get["size"] if isinstance(get["size"], Mapping) else {"shortest_edge": get["size"]}
    if get["do_center_crop"] and _square(get["crop_size"]) != image_size:
        _refuse(get, HUGGINGFACE, "crop_size", f"the image tower takes {image_size}")
    if set(size) == {"shortest_edge"}:
        if not get["do_center_crop"]:
            _refuse(get, HUGGINGFACE, "do_center_crop", "images would not be square")
        if not isinstance(size["shortest_edge"], int) or size["shortest_edge"] < image_size:
            _refuse(get, HUGGINGFACE, "size", f"the image tower takes {image_size}")
        variant = "huggingface_bilinear" if bilinear else "huggingface"
        resize = size["shortest_edge"]
    else:
        if _square(size) != image_size:
            _refuse(get, HUGGINGFACE, "size", f"the image tower takes {image_size}")
        variant = "huggingface_squash_bilinear" if bilinear else "huggingface_squash"
        resize = image_size
    if not get["rescale_factor"] > 0:
        _refuse(get, HUGGINGFACE, "rescale_factor", "it must be positive")
    scale = 255 * (get["rescale_factor"] if get["do_rescale"] else 1)
    if not get["do_normalize"]:
        get |= {"image_mean": (0.0,) * 3, "image_std": (1.0,) * 3}
    mean, std = get["image_mean"], get["image_std"]
    if abs(scale - 1) > 1e-6:
        mean, std = [x / scale for x in mean], [x / scale for x in std]
    return Prepared(tuple(mean), tuple(std), variant, 0 if resize == image_size else resize)


def efficientnet(fields: Mapping[str, Any]) -> tuple[int, Prepared]:
    """What the file of an EfficientNetImageProcessor asks for: the image size, and the rest.

    Args:
      fields: fields of the file; {} means no file and gives what ALIGN was published with.

    Raises:
      InputError: names the field that asks for what we cannot do.
    """
    get = _fields(fields or _ALIGN, HUGGINGFACE, EFFICIENTNET)
    for name in ("image_processor_type", "feature_extractor_type"):
        _one_of(get, HUGGINGFACE, name, _spelled("EfficientNet"))
    _one_of(get, HUGGINGFACE, "do_resize", (True,))
    _one_of(get, HUGGINGFACE, "resample", (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR))
    size, crop = _square(get["size"]), _square(get["crop_size"])
    if not size:
        _refuse(get, HUGGINGFACE, "size", "it must be a square")
    if get["do_center_crop"] and (not crop or crop > size):
        _refuse(get, HUGGINGFACE, "crop_size", f"it must be a square of at most {size}")
    image_size = crop if get["do_center_crop"] else size
    variant = "align" if get["resample"] == Image.Resampling.BILINEAR else "align_bicubic"
    if not get["rescale_factor"] > 0:
        _refuse(get, HUGGINGFACE, "rescale_factor", "it must be positive")
    scale = 255 * (get["rescale_factor"] if get["do_rescale"] else 1)
    offset = 1.0 if get["do_rescale"] and get["rescale_offset"] else 0.0
    mean = get["image_mean"] if get["do_normalize"] else (0.0,) * 3
    std = get["image_std"] if get["do_normalize"] else (1.0,) * 3
    if get["include_top"]:  # divides once more
        std = [s * t for s, t in zip(std, get["image_std"])]
    mean = tuple((m + offset) / scale for m in mean)
    prepared = Prepared(mean, tuple(s / scale for s in std), variant)
    return image_size, prepared._replace(resize=0 if size == image_size else size)


def open_clip(fields: Mapping[str, Any], image_size: int) -> Prepared:
    """What the `preprocess_cfg` of an open_clip_config.json asks for.

    Args:
      fields: fields of the object; {} means none and gives the defaults of OpenCLIP.
      image_size: image size of the image tower.

    Raises:
      InputError: as `huggingface`.
    """
    get = _fields(fields, OPEN_CLIP, _OPEN_CLIP)
    _one_of(get, OPEN_CLIP, "mode", ("RGB",))
    if get["size"] is not None and _square(get["size"]) != image_size:
        _refuse(get, OPEN_CLIP, "size", f"the image tower takes {image_size}")
    how = (get["interpolation"], get["resize_mode"])
    if how not in _OPEN_CLIP_VARIANTS:
        _one_of(get, OPEN_CLIP, "interpolation", ("bicubic", "bilinear"))
        _refuse(get, OPEN_CLIP, "resize_mode", f"not with {how[0]} interpolation")
    return Prepared(tuple(get["mean"]), tuple(get["std"]), _OPEN_CLIP_VARIANTS[how])


def write_huggingface(architecture: Architecture) -> dict[str, Any]:
    """preprocessor_config.json, the inverse of `huggingface`; of others' variants the nearest."""
    size, variant = architecture.vision.image_size, VARIANTS[architecture.preprocessing]
    edge = {"shortest_edge": architecture.resize or size}
    square = {"height": size, "width": size}
    return {
        "image_processor_type": CLIP.names[0],
        "size": square if variant.squash else edge,
        "do_center_crop": not variant.squash,
        "crop_size": square,
        "resample": int(variant.filter),
        "image_mean": architecture.mean,
        "image_std": architecture.std,
    }


def _fields(given: Mapping[str, Any], where: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """All known fields, null ones at their defaults.

    Raises:
      InputError: another field has a value that may have an effect.
    """
    for name, value in given.items():
        if name not in defaults and name not in _WITHOUT_EFFECT and value:
            _refuse(given, where, name, "this field is unknown here")
    return dict(defaults) | {k: v for k, v in given.items() if k in defaults and v is not None}


def _square(size: Any) -> int | None:
    """The side of a square, however it is written; None for anything else."""
    match size:
        case {"height": height, "width": width} if len(size) == 2:
            size = [height, width]
    if isinstance(size, list | tuple) and len(size) == 2 and size[0] == size[1]:
        return size[0]
    return size if isinstance(size, int) else None


def _one_of(fields: Mapping[str, Any], where: str, name: str, choices: tuple) -> None:
    if fields[name] not in choices:
        values = [int(value) if isinstance(value, Image.Resampling) else value for value in choices]
        _refuse(fields, where, name, f"supported: {', '.join(map(str, values))}")


def _refuse(fields: Mapping[str, Any], where: str, name: str, why: str) -> None:
    raise InputError(
        f"{where}: {name} = {fields[name]!r} is not supported ({why}); use other weights, "
        "or prepare images that way yourself, embed them and use --from_features"
    )
