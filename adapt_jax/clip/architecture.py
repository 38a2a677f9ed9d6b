"""The architecture of a CLIP or a relative: a frozen record per tower, and released models."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from adapt_jax.clip.preprocess import MEAN, STD, VARIANTS
from adapt_jax.core.checks import channel_statistics, positive, positive_int
from adapt_jax.core.errors import InputError

ACTIVATIONS = ("quick_gelu", "gelu", "gelu_tanh")
POSITION_KERNELS = ("open_clip", "huggingface")


def _validate(tower):
    """Raises InputError unless every count of a transformer is positive and its heads fit."""
    counts = {f.name: getattr(tower, f.name) for f in dataclasses.fields(tower) if f.type is int}
    try:
        positive_int(**counts)
        positive(epsilon=tower.epsilon)
    except ValueError as e:
        raise InputError(f"CLIP's {type(tower).__name__}: {e}") from None
    if tower.width % tower.heads:
        raise InputError(
            f"CLIP's {type(tower).__name__}: width {tower.width} does not split into "
            f"{tower.heads} attention heads"
        )
    if tower.activation not in ACTIVATIONS:
        activations = ", ".join(ACTIVATIONS)
        raise InputError(f"unknown activation {tower.activation!r}; known: {activations}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionTransformer:
    """A ViT image tower. `activation`: OpenAI's weights need "quick_gelu", most others "gelu"."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5

    def __post_init__(self):
        _validate(self)
        if self.image_size % self.patch_size:
            raise InputError(
                f"CLIP's image size {self.image_size} is not a multiple of its patch size "
                f"{self.patch_size}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModifiedResNet:
    """A ResNet image tower with an attention pool; `width` is that of the stem and first stage."""

    image_size: int
    width: int
    blocks: tuple[int, int, int, int]
    heads: int

    def __post_init__(self):
        try:
            names = ("first", "second", "third", "fourth")
            positive_int(image_size=self.image_size, width=self.width, heads=self.heads)
            positive_int(**dict(zip(names, self.blocks, strict=True)))
        except ValueError as e:
            raise InputError(f"CLIP's ModifiedResNet: {e}") from None
        if self.image_size % 32 or self.width % 2 or self.pooled_width % self.heads:
            raise InputError(
                f"CLIP's ModifiedResNet needs an image size ({self.image_size}) divisible by 32, "
                f"an even width ({self.width}) and 32 widths divisible by its {self.heads} heads"
            )

    @property
    def pooled_width(self) -> int:
        """Channels of the last stage."""
        return 32 * self.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextTransformer:
    """The text tower.

    eos_token_id: a text is summarised at the first token with this id; None: at the first of the
      largest id, as OpenAI and OpenCLIP do, whose end token is the last of the vocabulary.
    """

    context_length: int
    vocab_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5
    eos_token_id: int | None = None

    def __post_init__(self):
        _validate(self)
        if self.eos_token_id is not None and not 0 <= self.eos_token_id < self.vocab_size:
            raise InputError(
                f"CLIP's end token {self.eos_token_id} is outside its vocabulary of "
                f"{self.vocab_size} tokens"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SiglipVision:
    """SigLIP's image tower: no class token; an attention pool sums the patches up.

    Patches that stand out over the right or lower edge are left out, as in so400m-patch14-384.
    """

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: str = "gelu_tanh"
    epsilon: float = 1e-6

    def __post_init__(self):
        _validate(self)
        if self.image_size < self.patch_size:
            raise InputError(
                f"SigLIP's image size {self.image_size} is smaller than its patch size "
                f"{self.patch_size}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SiglipText:
    """SigLIP's text tower: every token sees every other, and the last one sums the text up."""

    context_length: int
    vocab_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: str = "gelu_tanh"
    epsilon: float = 1e-6

    def __post_init__(self):
        _validate(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """A whole model, and how its images are to be prepared.

    preprocessing: the variant of `preprocess.preprocess` that its own library uses.
    resize: what the shorter side of images becomes before the middle is cut out; 0: `image_size`.
    position_kernel: whose bicubic kernel fits a ViT's positions to another image size.
    """

    embed_dim: int
    vision: VisionTransformer | ModifiedResNet | SiglipVision
    text: TextTransformer | SiglipText
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


_KINDS = (VisionTransformer, ModifiedResNet, TextTransformer, SiglipVision, SiglipText)
_TOWERS = {tower.__name__: tower for tower in _KINDS}
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

    def made(kind, fields):
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})

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


def _released(embed_dim, image_size, text_width, vision, text_layers=12, activation="quick_gelu"):
    text = TextTransformer(
        context_length=77,
        vocab_size=49408,
        width=text_width,
        layers=text_layers,
        heads=text_width // 64,
        mlp_width=4 * text_width,
        activation=activation,
    )
    return Architecture(embed_dim=embed_dim, vision=vision(image_size), text=text)


def _vit(patch_size, width, layers, *, heads=None, mlp_width=None, activation="quick_gelu"):
    return lambda image_size: VisionTransformer(
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        layers=layers,
        heads=heads or width // 64,
        mlp_width=mlp_width or 4 * width,
        activation=activation,
    )


def _resnet(width, *blocks):
    return lambda image_size: ModifiedResNet(
        image_size=image_size, width=width, blocks=blocks, heads=width // 2
    )


def _open_clip(embed_dim, image_size, text_width, text_layers, *tower, **options):
    vision = _vit(*tower, **options, activation="gelu")
    return _released(embed_dim, image_size, text_width, vision, text_layers, "gelu")


# OpenAI's nine models; then those that OpenCLIP trained (mlfoundations/open_clip, model_configs),
# with another activation and in part with wider heads.
RELEASED = {
    "ViT-B/32": _released(512, 224, 512, _vit(32, 768, 12)),
    "ViT-B/16": _released(512, 224, 512, _vit(16, 768, 12)),
    "ViT-L/14": _released(768, 224, 768, _vit(14, 1024, 24)),
    "ViT-L/14@336px": _released(768, 336, 768, _vit(14, 1024, 24)),
    "RN50": _released(1024, 224, 512, _resnet(64, 3, 4, 6, 3)),
    "RN101": _released(512, 224, 512, _resnet(64, 3, 4, 23, 3)),
    "RN50x4": _released(640, 288, 640, _resnet(80, 4, 6, 10, 6)),
    "RN50x16": _released(768, 384, 768, _resnet(96, 6, 8, 18, 8)),
    "RN50x64": _released(1024, 448, 1024, _resnet(128, 3, 15, 36, 10)),
    "ViT-B-32": _open_clip(512, 224, 512, 12, 32, 768, 12),
    "ViT-B-32-256": _open_clip(512, 256, 512, 12, 32, 768, 12),
    "ViT-B-16": _open_clip(512, 224, 512, 12, 16, 768, 12),
    "ViT-L-14": _open_clip(768, 224, 768, 12, 14, 1024, 24),
    "ViT-L-14-336": _open_clip(768, 336, 768, 12, 14, 1024, 24),
    "ViT-H-14": _open_clip(1024, 224, 1024, 24, 14, 1280, 32, heads=16),
    "ViT-g-14": _open_clip(1024, 224, 1024, 24, 14, 1408, 40, heads=16, mlp_width=6144),
    "ViT-bigG-14": _open_clip(1280, 224, 1280, 32, 14, 1664, 48, heads=16, mlp_width=8192),
}
