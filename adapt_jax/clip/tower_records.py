"""The towers of CLIP and its relatives: a frozen record of each kind, with what it needs."""

import dataclasses

from adapt_jax.core.checks import positive, positive_int
from adapt_jax.core.errors import InputError

ACTIVATIONS = ("quick_gelu", "gelu", "gelu_tanh", "silu")


def _validate(tower, *others: str):
    """Raises InputError unless every count but `others` is positive and the heads fit."""
    names = [f.name for f in dataclasses.fields(tower) if f.type is int and f.name not in others]
    counts = {name: getattr(tower, name) for name in names}
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
class EfficientNetBlock:
    """A block of an EfficientNet.

    inputs, inner, outputs: channels before, inside and behind it; inner = inputs does not expand.
    kernel, stride: of the convolution of each channel; stride is 1 or 2.
    squeezed: channels that are left where it weighs channels.
    residual: whether its input is added.
    even: whether a stride of 2 pads one pixel less in front than behind.
    """

    inputs: int
    inner: int
    outputs: int
    kernel: int
    stride: int
    squeezed: int
    residual: bool
    even: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class EfficientNet:
    """An EfficientNet image tower without its last convolution (ALIGN).

    image_size: height and width that images are cut to; the tower takes any.
    stem: channels of the first convolution.
    pooling: "mean" or "max" over all positions.
    """

    image_size: int
    stem: int
    blocks: tuple[EfficientNetBlock, ...]
    pooling: str
    activation: str
    epsilon: float

    def __post_init__(self):
        try:
            positive_int(image_size=self.image_size, stem=self.stem, blocks=len(self.blocks))
            positive(epsilon=self.epsilon)
        except ValueError as e:
            raise InputError(f"CLIP's EfficientNet: {e}") from None
        wrong = [b for b in self.blocks if b.stride not in (1, 2) or b.kernel % 2 == 0]
        if wrong or self.pooling not in ("mean", "max"):
            raise InputError(
                "CLIP's EfficientNet needs odd kernels, strides 1 or 2, and pooling mean or max, "
                f"got {wrong[0] if wrong else self.pooling!r}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupVitVision:
    """GroupViT's image tower: patches are gathered into fewer and fewer groups, stage by stage.

    depths, group_tokens, output_groups: of each stage, the number of blocks, of learnt group
      tokens, and of the groups that leave it; without tokens a stage only transforms.
    assign_widths: inner widths of the MLPs over tokens and over channels where groups are made.
    assign_epsilon: what is added to a group's number of patches before its mean is taken.
    projection_width: inner width of the projection.
    """

    image_size: int
    patch_size: int
    width: int
    heads: int
    mlp_width: int
    depths: tuple[int, ...]
    group_tokens: tuple[int, ...]
    output_groups: tuple[int, ...]
    assign_widths: tuple[int, int]
    projection_width: int
    assign_epsilon: float = 1.0
    activation: str = "gelu"
    epsilon: float = 1e-5

    def __post_init__(self):
        _validate(self)
        counts = {len(x) for x in (self.depths, self.group_tokens, self.output_groups)}
        if len(counts) != 1 or min(*self.depths, *self.output_groups, *self.assign_widths) < 1:
            raise InputError(
                f"GroupViT's depths {self.depths}, group tokens {self.group_tokens} and output "
                f"groups {self.output_groups} must be positive, one for each stage"
            )
        if self.image_size % self.patch_size:
            raise InputError(
                f"GroupViT's image size {self.image_size} is not a multiple of its patch size "
                f"{self.patch_size}"
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
class GroupVitText(TextTransformer):
    """CLIP's text tower with GroupViT's projection, an MLP of this inner width."""

    projection_width: int


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
class BertText:
    """A BERT, whose first token sums a text up.

    positions: rows of the table of positions.
    token_types: rows of the table of token types, of which only the first is used.
    pad_token_id: the id of padding, which no token sees.
    roberta: whether positions count from pad_token_id + 1 and skip padding (XLM-R), not from 0.
    transform_width: what the first token is mapped to before the projection (AltCLIP); 0: it is
      projected directly, with a bias (ALIGN).
    """

    positions: int
    vocab_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    token_types: int
    pad_token_id: int
    roberta: bool
    transform_width: int
    activation: str = "gelu"
    epsilon: float = 1e-5

    def __post_init__(self):
        _validate(self, "pad_token_id", "transform_width")
        if self.context_length < 1 or not 0 <= self.pad_token_id < self.vocab_size:
            raise InputError(
                f"the text tower's padding ({self.pad_token_id}) does not fit {self.positions} "
                f"positions and a vocabulary of {self.vocab_size} tokens"
            )

    @property
    def context_length(self) -> int:
        """Largest number of tokens of a text."""
        return self.positions - (self.pad_token_id + 1 if self.roberta else 0)
