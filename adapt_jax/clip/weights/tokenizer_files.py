"""The tokenizer beside a CLIP: refused unless it is that of every CLIP, which `tokenizer` holds.

With another vocabulary or end token every text would have a wrong embedding, or all the same one,
without an error. Only the files are compared that a repository may have; without any, the model's
own vocabulary and end token are, when texts are to be encoded (`check_model`).
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from adapt_jax.clip import tokenizer
from adapt_jax.clip.tower_records import TextTransformer
from adapt_jax.core.errors import InputError

FILES = ("tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json")
CONFIG = "tokenizer_config.json"
_CLASSES = ("CLIPTokenizer", "CLIPTokenizerFast", "CLIPProcessor")
_SPECIAL = {
    key: {spelling[i] for spelling in (tokenizer.OPENAI, tokenizer.OPEN_CLIP)}
    for i, key in enumerate(("bos_token", "eos_token"))
}


def check_model(text: TextTransformer) -> None:
    """Raises InputError if a text tower was not made for the ids of our tokenizer."""
    if text.vocab_size != tokenizer.VOCABULARY:
        raise InputError(
            f"the text tower has a vocabulary of {text.vocab_size} tokens, CLIP's tokenizer one of "
            f"{tokenizer.VOCABULARY}; this model needs another tokenizer, which is not here"
        )
    if text.eos_token_id not in (None, tokenizer.END):
        raise InputError(
            f"the text tower's end token (eos_token_id) is {text.eos_token_id}, CLIP's tokenizer "
            f"ends texts with {tokenizer.END}; this model needs another tokenizer, or its "
            "configuration is wrong"
        )


def check_folder(folder: pathlib.Path) -> None:
    """Compares the tokenizer's files in a folder with CLIP's.

    Raises:
      InputError: one describes another tokenizer, or cannot be read; it is named.
    """
    readers = {
        "tokenizer.json": _check_tokenizer,
        "vocab.json": _check_vocabulary,
        CONFIG: _check_config,
        "special_tokens_map.json": _check_special,
    }
    for name, check in readers.items():
        if (folder / name).is_file() and (content := read_object(folder / name)) is not None:
            try:
                problem = check(content)
            except (TypeError, KeyError, AttributeError) as e:
                problem = f"is malformed ({e!r})"
            _refuse(folder / name, problem)
    merges = folder / "merges.txt"
    if merges.is_file():
        lines = merges.read_text("utf-8", errors="replace").splitlines()
        pairs = [line.strip() for line in lines if line.strip() and not line.startswith("#version")]
        _refuse(merges, _check_merges(pairs))


def read_object(file: pathlib.Path) -> Mapping[str, Any] | None:
    """The object in a JSON file; None for a list, which is no tokenizer but something else's."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"{file} cannot be read as JSON ({e})") from None
    return content if isinstance(content, Mapping) else None


def _refuse(file: pathlib.Path, problem: str) -> None:
    if problem:
        raise InputError(
            f"{file} {problem}; only CLIP's own tokenizer is here, and with it the texts of this "
            "model would have wrong embeddings"
        )


def _check_tokenizer(content: Mapping[str, Any]) -> str:
    model = content["model"]
    if model.get("type", "BPE") != "BPE":
        return f"is a tokenizer of type {model['type']}, not CLIP's BPE"
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return _check_vocabulary(model["vocab"]) or _check_merges(pairs)


def _check_vocabulary(vocabulary: Mapping[str, int]) -> str:
    expected = tokenizer.vocabulary()
    for spelling in (tokenizer.OPENAI, tokenizer.OPEN_CLIP):
        if vocabulary == expected | dict(
            zip(spelling, (tokenizer.START, tokenizer.END), strict=True)
        ):
            return ""
    return f"has another vocabulary of {len(vocabulary)} tokens than CLIP's {tokenizer.VOCABULARY}"


def _check_merges(pairs: list[str]) -> str:
    if tuple(pairs) == tokenizer.merges():
        return ""
    return f"has {len(pairs)} merges that are not CLIP's {len(tokenizer.merges())}"


def _check_config(content: Mapping[str, Any]) -> str:
    kind = content.get("tokenizer_class") or _CLASSES[0]
    if kind not in _CLASSES:
        return f"names the tokenizer {kind}, not CLIP's"
    if content.get("do_lower_case") is False:
        return "says do_lower_case = false, CLIP's tokenizer writes all in lower case"
    return _check_special(content)


def _check_special(content: Mapping[str, Any]) -> str:
    for key, expected in _SPECIAL.items():
        token = content.get(key)
        token = token.get("content") if isinstance(token, Mapping) else token
        if token is not None and token not in expected:
            return f"says that {key} is {token!r}, CLIP's is {min(expected, key=len)!r}"
    return ""
