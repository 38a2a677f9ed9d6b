"""The architecture of a CLIP or one of its relatives: its towers, and how images are prepared."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from adapt_jax.clip.preprocess import MEAN, STD, VARIANTS
from adapt_jax.clip.tower_records import (
    BertText,
    EfficientNet,
    EfficientNetBlock,
    GroupVitText,
    GroupVitVision,
    ModifiedResNet,
    SiglipText,
    SiglipVision,
    TextTransformer,
    VisionTransformer,
)
from adapt_jax.core.checks import channel_statistics, positive_int
from adapt_jax.core.errors import InputError

POSITION_KERNELS = ("open_clip", "huggingface")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """A whole model, and how its images are to be prepared.

    preprocessing: the variant of `preprocess.preprocess` that its own library uses.
    resize: what the shorter side of images becomes before the middle is cut out; 0: `image_size`.
    position_kernel: whose bicubic kernel fits a ViT's positions to another image size.
    """

    embed_dim: int
    vision: VisionTransformer | ModifiedResNet | SiglipVision | GroupVitVision | EfficientNet
    text: TextTransformer | SiglipText | BertText
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    preprocessing: str = "openai"
    resize: int = 0
    position_kernel: str = "open_clip"

    def __post_init__(self):
        try:
            positive_int(embed_dim=self.embed_dim)
        except ValueError as e:
            raise InputError(f"CLIP: {e}") from None
        channel_statistics(self.mean, self.std)
        if self.resize and self.resize < self.vision.image_size:
            raise InputError(
                f"CLIP's images are resized to {self.resize}, less than the "
                f"{self.vision.image_size} cut out of them"
            )
        for what, value, choices in (
            ("preprocessing", self.preprocessing, VARIANTS),
            ("position kernel", self.position_kernel, POSITION_KERNELS),
        ):
            if value not in choices:
                raise InputError(f"unknown {what} {value!r}; known: {', '.join(choices)}")

    @property
    def sigmoid(self) -> bool:
        """Whether training took each pair's logit, which has a bias, through a sigmoid (SigLIP)."""
        return isinstance(self.text, SiglipText)


_TOWERS = {
    tower.__name__: tower
    for tower in (
        *(VisionTransformer, ModifiedResNet, SiglipVision, GroupVitVision, EfficientNet),
        *(TextTransformer, SiglipText, GroupVitText, BertText),
    )
}
_KIND = "kind"


def as_json(architecture: Architecture) -> dict[str, Any]:
    """An architecture as `from_json` reads it."""
    content = dataclasses.asdict(architecture)
    for tower in ("vision", "text"):
        content[tower] |= {_KIND: type(getattr(architecture, tower)).__name__}
    return content


def from_json(content: Mapping[str, Any]) -> Architecture:
    """The architecture that `as_json` made this of.

    Raises:
      InputError: it is none, or one that cannot be.
    """

    def value(given):
        if isinstance(given, list | tuple):
            return tuple(map(value, given))
        return EfficientNetBlock(**given) if isinstance(given, Mapping) else given

    def made(kind, fields):
        towers = {k: v for k, v in fields.items() if k in ("vision", "text")}
        return kind(**{k: value(v) for k, v in fields.items() if k not in towers} | towers)

    try:
        towers = {
            name: made(_TOWERS[content[name][_KIND]], _without(content[name], _KIND))
            for name in ("vision", "text")
        }
        return made(Architecture, {**content, **towers})
    except (KeyError, TypeError) as e:
        raise InputError(f"this is no architecture of a CLIP ({e!r})") from None


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if k != name}
