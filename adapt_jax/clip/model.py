"""CLIP as pure functions of its parameters, and `Model`: parameters with their configuration.

Parameters are a plain dict {"logit_scale", "visual", "text"} of float32 arrays; SigLIP's also have
"logit_bias". `logit_scale` is a logarithm, as everywhere.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.clip import towers
from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.library_tokenizer import LibraryTokenizer
from adapt_jax.clip.preprocess import normalize
from adapt_jax.clip.tower_records import TextTransformer
from adapt_jax.clip.towers.transformer import array
from adapt_jax.core.arrays import working_dtype
from adapt_jax.core.errors import InputError

Params = dict[str, Any]
DTYPES = ("float32", "bfloat16", "float16")


def shapes(architecture: Architecture) -> Params:
    """The parameters of a model, as shapes."""
    vision, text = architecture.vision, architecture.text
    return {
        "logit_scale": array(),
        **({"logit_bias": array()} if architecture.sigmoid else {}),
        "visual": towers.of(vision).shapes(vision, architecture.embed_dim),
        "text": towers.of(text).shapes(text, architecture.embed_dim),
    }


def image_features(
    params: Params, architecture: Architecture, pixels: jax.Array, dtype="float32"
) -> jax.Array:
    """Image embeddings, not normalised.

    Args:
      params: parameters of the whole model; only "visual" is read.
      architecture: architecture of the whole model; static.
      pixels: pixels (B, H, W, 3), floats that are normalised with the model's mean and std; or
        uint8, which is normalised here. For another size than the model's, a ViT's positions are
        interpolated.
      dtype: dtype to compute in; static. float32 products are true float32 on every device.

    Returns:
      (B, embed_dim), float32 or wider.

    Raises:
      InputError: pixels of the wrong shape or kind.
    """
    if pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise InputError(f"pixels must be (B, H, W, 3), got {pixels.shape}")
    if pixels.dtype == jnp.uint8:
        pixels = normalize(pixels, architecture.mean, architecture.std)
    if not jnp.issubdtype(pixels.dtype, jnp.floating):
        raise InputError(
            f"pixels are {pixels.dtype}; give normalised floats, or uint8 to have them normalised"
        )
    with _precision(dtype), jax.named_scope("forward"):
        tower, kernel = architecture.vision, architecture.position_kernel
        out = towers.of(tower).features(params["visual"], tower, pixels.astype(dtype), kernel)
    return out.astype(working_dtype(out.dtype))


def text_features(
    params: Params, architecture: Architecture, ids: jax.Array, dtype="float32"
) -> jax.Array:
    """Text embeddings (B, embed_dim), not normalised, of token ids (B, L), L <= context length.

    Only the tokens up to a text's end token count for CLIP, so any padding, or none, gives the
    same. SigLIP was trained on texts that fill its context, and padding counts.

    Raises:
      InputError: ids of the wrong shape or kind. An id above the vocabulary gives NaN.
    """
    if ids.ndim != 2 or not jnp.issubdtype(ids.dtype, jnp.integer):
        raise InputError(f"token ids must be integers (B, L), got {ids.dtype} {ids.shape}")
    with _precision(dtype):
        tower = architecture.text
        out = towers.of(tower).features(params["text"], tower, ids, jnp.dtype(dtype))
    return out.astype(working_dtype(out.dtype))


def _precision(dtype):
    """TPUs and NVIDIA GPUs would otherwise round the operands of float32 products."""
    exact = jnp.finfo(dtype).bits >= 32
    return jax.default_matmul_precision("highest" if exact else "default")


_image_features = jax.jit(image_features, static_argnums=(1,), static_argnames=("dtype",))
_text_features = jax.jit(text_features, static_argnums=(1,), static_argnames=("dtype",))


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A CLIP ready to use.

    architecture: its towers, and how images are prepared for it.
    params: float32, passed to the compiled functions, never constants of them.
    dtype: "float32", "bfloat16" or "float16", which the towers compute in; embeddings are float32.
    source: where it came from: a path, `org/name@commit`, or "".
    guess: a sentence on what was guessed about weights without a configuration; "" if nothing was.
    tokenizer: the one beside the weights, if the model does not take CLIP's.
    """

    architecture: Architecture
    params: Params
    dtype: str = "float32"
    source: str = ""
    guess: str = ""
    tokenizer: LibraryTokenizer | None = None

    def __post_init__(self):
        if self.dtype not in DTYPES:
            raise InputError(f"unknown CLIP dtype {self.dtype!r}; known: {', '.join(DTYPES)}")

    def encode_image(self, pixels: jax.Array) -> jax.Array:
        """(B, H, W, 3) normalised floats, or uint8 -> (B, embed_dim) float32, not normalised.

        Raises:
          InputError: pixels of the wrong shape or kind.
        """
        return _image_features(
            self.params, self.architecture, jnp.asarray(pixels), dtype=self.dtype
        )

    def lowered_image(self, pixels: jax.Array) -> jax.stages.Lowered:
        """The program that `encode_image` runs for these pixels, before compilation."""
        return _image_features.lower(
            self.params, self.architecture, jnp.asarray(pixels), dtype=self.dtype
        )

    def encode_text(self, token_ids: jax.Array) -> jax.Array:
        """(B, L) integers, L <= context_length -> (B, embed_dim) float32, not normalised.

        Raises:
          InputError: ids of the wrong shape or kind, or on the host and outside the vocabulary.
        """
        if not isinstance(token_ids, jax.Array):
            token_ids = np.asarray(token_ids)
            check_ids(token_ids, self.architecture)
        return _text_features(
            self.params, self.architecture, jnp.asarray(token_ids), dtype=self.dtype
        )

    def tokenize(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> (N, context_length) int32 token ids, padded as the model was trained.

        Raises:
          InputError: one is too long or no string, or there is no tokenizer for this model.
        """
        if self.tokenizer is not None:
            return self.tokenizer(texts)
        if not isinstance(self.architecture.text, TextTransformer):
            raise InputError(
                f"CLIP from {self.source} has no tokenizer beside its weights; add its "
                "tokenizer.json, spiece.model (SigLIP) or sentencepiece.bpe.model (AltCLIP)"
            )
        from adapt_jax.clip.tokenizer import tokenize  # needs ftfy and regex; the towers do not

        return tokenize(texts, self.context_length)

    def placed(self, place: Callable[[Params], Params]) -> "Model":
        """The same model with its parameters where `place` puts them, such as on every device."""
        return dataclasses.replace(self, params=place(self.params))

    def sha256(self) -> str:
        """SHA-256 of all that embeddings depend on: architecture, dtype, tokenizer, parameters."""
        tokenizer = "" if self.tokenizer is None else f" {self.tokenizer.described()}"
        digest = hashlib.sha256(f"{self.architecture} {self.dtype}{tokenizer}".encode())
        for leaf in jax.tree.leaves(self.params):
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()

    @property
    def logit_scale(self) -> float:
        """The factor of the cosines: the exponential of the parameter, 100 for OpenAI's."""
        return math.exp(float(self.params["logit_scale"]))

    @property
    def logit_bias(self) -> float:
        """What SigLIP adds to scaled cosines before the sigmoid; 0 for a model with a softmax."""
        return float(self.params.get("logit_bias", 0.0))

    @property
    def embed_dim(self) -> int:
        """Width of the embeddings."""
        return self.architecture.embed_dim

    @property
    def image_size(self) -> int:
        """Height and width of the images the model was trained on."""
        return self.architecture.vision.image_size

    @property
    def context_length(self) -> int:
        """Largest number of tokens of a text."""
        return self.architecture.text.context_length

    @property
    def mean(self) -> tuple[float, float, float]:
        """Channel means, which are subtracted from pixels in [0, 1]."""
        return self.architecture.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """Channel standard deviations, which pixels are then divided by."""
        return self.architecture.std


def check_ids(ids: np.ndarray, architecture: Architecture) -> None:
    """Raises InputError unless ids (B, L) are integers inside the vocabulary."""
    vocabulary = architecture.text.vocab_size
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"token ids must be integers (B, L), got {ids.dtype} {ids.shape}")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocabulary:
        raise InputError(
            f"token ids from {ids.min()} to {ids.max()} are outside the model's vocabulary of "
            f"{vocabulary}; tokenise with the tokenizer of this model"
        )
