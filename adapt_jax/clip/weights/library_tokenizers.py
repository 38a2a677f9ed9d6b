"""Which tokenizer the files beside a relative of CLIP describe, for `clip.library_tokenizer`."""

import pathlib
from collections.abc import Mapping
from typing import Any

from adapt_jax.clip.library_tokenizer import LibraryTokenizer
from adapt_jax.clip.tower_records import BertText, SiglipText
from adapt_jax.clip.weights.tokenizer_files import CONFIG, read_object
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import file_sha256

_XLM_ROBERTA = "sentencepiece.bpe.model"
FILES = ("spiece.model", _XLM_ROBERTA)  # beside those of CLIP's tokenizer
# Classes of transformers whose models are trained on text in one form, whatever their files say.
_CANONICAL = ("SiglipTokenizer", "SiglipTokenizerFast")
_LOWER = ("Siglip2Tokenizer", "GemmaTokenizer", "GemmaTokenizerFast")
_PAD = {"canonical": ("</s>",), "lower": ("<pad>",), "as_is": ()}


def read(
    folder: pathlib.Path, text: SiglipText | BertText, pad_token_id: int
) -> LibraryTokenizer | None:
    """The tokenizer of a text tower, or None if no file has it.

    Args:
      folder: folder of the weights.
      text: the text tower.
      pad_token_id: the id of padding of a SigLIP, if no file names its token.

    Raises:
      InputError: a file cannot be read, or asks for what is not done here.
    """
    if isinstance(text, SiglipText):
        return _siglip(folder, text, pad_token_id)
    for name, rule in (("tokenizer.json", "as_is"), (_XLM_ROBERTA, "xlm_roberta")):
        if (file := folder / name).is_file():
            context, pad = text.context_length, (text.pad_token_id,)
            return LibraryTokenizer(file, file_sha256(file), context, rule, pad)
    return None


def _siglip(folder: pathlib.Path, text: SiglipText, pad_token_id: int) -> LibraryTokenizer | None:
    """tokenizer_config.json names the class; without it, a BPE is SigLIP 2's (Gemma's)."""
    file, pieces, settings = folder / "tokenizer.json", folder / "spiece.model", _settings(folder)
    kind = settings.get("tokenizer_class")
    content: Mapping[str, Any] = {}
    if pieces.is_file() and (kind in (None, *_CANONICAL) or not file.is_file()):
        file, rule = pieces, "canonical"  # SigLIP's own class reads this one
    elif file.is_file():
        content = read_object(file) or {}
        rule = _rule(kind, content)
    else:
        return None
    if rule == "canonical" and settings.get("do_lower_case") is False:
        raise InputError(
            f"{folder / CONFIG} says do_lower_case = false, SigLIP's text is lower case"
        )
    padding = content.get("padding") or {}
    named = _spelled(settings.get("pad_token")) or padding.get("pad_token")
    side = settings.get("padding_side") or padding.get("direction")
    return LibraryTokenizer(
        file=file,
        sha256=file_sha256(file),
        context_length=text.context_length,
        rule=rule,
        pad=(named,) if named else (*_PAD[rule], pad_token_id),
        left=kind in _LOWER if side is None else side.lower() == "left",
    )


def _rule(kind: str | None, content: Mapping[str, Any]) -> str:
    """One of `library_tokenizer.RULES`."""
    byte_pairs = (content.get("model") or {}).get("type") == "BPE"
    if kind in _LOWER or (kind is None and byte_pairs):
        return "lower"
    return "canonical" if kind in (None, *_CANONICAL) else "as_is"


def _settings(folder: pathlib.Path) -> dict[str, Any]:
    """What tokenizer_config.json says, or else special_tokens_map.json."""
    merged: dict[str, Any] = {}
    for name in ("special_tokens_map.json", CONFIG):
        if (folder / name).is_file():
            merged |= read_object(folder / name) or {}
    return merged


def _spelled(token: Any) -> str | None:
    """A special token, which may be an object with its content."""
    return token.get("content") if isinstance(token, Mapping) else token
