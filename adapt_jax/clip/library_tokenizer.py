"""Tokenizers of CLIP's relatives, run by the libraries that made their files.

`tokenizer.json` is read by huggingface/tokenizers, `spiece.model` and `sentencepiece.bpe.model` by
google/sentencepiece; both are optional (`pip install "adapt_jax[tokenizers]"`). What the files
leave to a program is done as the classes of huggingface/transformers do it:

| rule | class, model | text before the tokenizer sees it |
| --- | --- | --- |
| canonical | SiglipTokenizer; SigLIP | lower case, no ASCII punctuation, single spaces |
| lower | GemmaTokenizer, Siglip2Tokenizer; SigLIP 2 | lower case |
| xlm_roberta | XLMRobertaTokenizer; AltCLIP's sentencepiece.bpe.model | unchanged |
| as_is | another class | unchanged |
"""

import dataclasses
import pathlib
import re
import string
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError

RULES = ("canonical", "lower", "xlm_roberta", "as_is")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how SentencePiece spells a space


@dataclasses.dataclass(frozen=True)
class LibraryTokenizer:
    """Texts -> token ids (N, context_length), padded.

    file: tokenizer.json or a SentencePiece model.
    sha256: of that file.
    context_length: number of columns.
    rule: what is done to texts first, one of `RULES`.
    pad: spellings or ids of padding; the first that the vocabulary has is it.
    left: whether padding stands before the text instead of behind it.
    """

    file: pathlib.Path
    sha256: str
    context_length: int
    rule: str
    pad: tuple[str | int, ...]
    left: bool = False

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, context_length) int32.

        Raises:
          InputError: a text is too long, or not a string; it is named. Or a library is missing, or
            the file is none of its own.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {row} is {text!r:.60}, not a string")
        encode, id_of = _library(self.file, self.sha256, self.rule)
        rows = encode(texts)
        pads = (pad if isinstance(pad, int) else id_of(pad) for pad in self.pad)
        pad = next((i for i in pads if i is not None), None)
        if pad is None:
            raise InputError(f"{self.file} has no token {self.pad[0]!r}, which pads texts")
        ids = np.full((len(texts), self.context_length), pad, np.int32)
        for row, (text, tokens) in enumerate(zip(texts, rows, strict=True)):
            if len(tokens) > self.context_length:
                raise InputError(
                    f"text {row} ({text[:60]!r}...) has {len(tokens)} tokens, more than the "
                    f"{self.context_length} of the model; shorten it"
                )
            if self.left:
                ids[row, self.context_length - len(tokens) :] = tokens
            else:
                ids[row, : len(tokens)] = tokens
        return ids

    def described(self) -> str:
        """Everything its ids depend on, wherever the file lies."""
        settings = (self.sha256, self.context_length, self.rule, self.pad, self.left)
        return " ".join(map(str, settings))


def canonicalized(text: str) -> str:
    """Lower case, no ASCII punctuation, single spaces: big_vision's `canonicalize_text`."""
    return re.sub(r"\s+", " ", text.lower().translate(_PUNCTUATION)).strip()


class _Library(NamedTuple):
    """encode: texts -> lists of ids. id_of: the id of a token, None where there is none."""

    encode: Callable[[list[str]], list[list[int]]]
    id_of: Callable[[str], int | None]


@lru_cache(maxsize=4)
def _library(file: pathlib.Path, sha256: str, rule: str) -> _Library:
    try:
        if file.suffix == ".model":
            return _sentencepiece(file, rule)
        return _tokenizers(file, rule)
    except ModuleNotFoundError as e:
        raise InputError(
            f"{file} needs the library {e.name}: pip install {e.name}, or all of "
            '"adapt_jax[tokenizers]"'
        ) from None


def _tokenizers(file, rule):
    from tokenizers import Tokenizer, normalizers

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as e:  # the library has no class of its own
        raise InputError(f"{file} cannot be read as a tokenizer ({e}); fetch it again") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if rule == "lower":
        given = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *given])
    prepare = canonicalized if rule == "canonical" else str

    def encode(texts: list[str]) -> list[list[int]]:
        return [
            encoding.ids for encoding in tokenizer.encode_batch([prepare(text) for text in texts])
        ]

    return _Library(encode, tokenizer.token_to_id)


def _sentencepiece(file, rule):
    """As `SiglipTokenizer` uses the library, always canonical, or as `XLMRobertaTokenizer`."""
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=str(file))
    except (OSError, RuntimeError) as e:
        raise InputError(f"{file} cannot be read by sentencepiece ({e}); fetch it again") from None
    if rule == "xlm_roberta":
        return _Library(lambda texts: [_fairseq(processor, text) for text in texts], lambda _: None)
    # The library drops a space in front, so that transformers puts another piece there.
    shield = processor.id_to_piece(processor.unk_id())
    hidden = len(processor.encode(shield))

    def encode(text: str) -> list[int]:
        text = canonicalized(_SPACE + text.replace(_SPACE, " "))
        return [*processor.encode(shield + text)[hidden:], processor.eos_id()]

    def id_of(token: str) -> int | None:
        token_id = processor.piece_to_id(token)
        return token_id if processor.id_to_piece(token_id) == token else None

    return _Library(lambda texts: [encode(text) for text in texts], id_of)


def _fairseq(processor, text: str) -> list[int]:
    """Start, the text, end: in fairseq's numbers, in which four special tokens come first."""
    start, end, unknown = 0, 2, 3
    ids = processor.encode(text)
    return [start, *(unknown if i == processor.unk_id() else i + 1 for i in ids), end]
