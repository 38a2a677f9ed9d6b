"""Text -> token ids, as openai/CLIP and open_clip: byte-level BPE over cleaned, lower-case text.

One table of merges (bpe_simple_vocab_16e6.txt.gz, MIT, see MERGES-LICENSE.txt) serves every CLIP
checkpoint; the tokenizer.json, vocab.json and merges.txt of Hugging Face repositories hold the
same one, or are refused (`weights/tokenizer_files.py`). 49,408 ids: 256 bytes, the same at the end
of a word, 48,894 merges, start, end. `transformers` cleans less (no ftfy, no HTML entities): it
gives other ids for such text, and the same for WordNet's words and ordinary class names.
"""

import gzip
import html
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

import ftfy
import numpy as np
import regex

from adapt_jax.core.errors import InputError

CONTEXT_LENGTH = 77
START, END = 49406, 49407
VOCABULARY = 49408
# How start and end are spelled when they occur in a text: the programs' only difference.
OPEN_CLIP = ("<start_of_text>", "<end_of_text>")
OPENAI = ("<|startoftext|>", "<|endoftext|>")

_MERGES = START - 2 * 256


def tokenize(
    texts: str | Sequence[str],
    context_length: int = CONTEXT_LENGTH,
    truncate: bool = False,
    special: tuple[str, str] = OPEN_CLIP,
) -> np.ndarray:
    """(B, context_length) int32: start, the text's ids, end, zeros.

    Args:
      texts: one text (B = 1) or B of them.
      context_length: number of columns, 77 in every released model. The text tower is causal and
        reads its result at the end token, so columns that are zero in every row can be cut off
        without any effect.
      truncate: whether to cut longer texts, keeping the end token last. open_clip always does;
        OpenAI's tokenizer raises, as this one does by default.
      special: strings that count as start and end token inside a text, `OPEN_CLIP` or `OPENAI`.

    Raises:
      InputError: a text is too long, or not a string; it is named.
    """
    if context_length < 2:
        raise InputError(f"context_length must be at least 2, got {context_length}")
    texts = [texts] if isinstance(texts, str) else list(texts)
    tokens = np.zeros((len(texts), context_length), np.int32)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {row} is {text!r:.60}, not a string")
        ids = encode(text, special)
        if len(ids) > context_length - 2 and not truncate:
            raise InputError(
                f"text {row} ({text[:60]!r}...) has {len(ids) + 2} tokens, more than the "
                f"{context_length} of the model; shorten it or pass truncate=True"
            )
        ids = [START, *ids[: context_length - 2], END]
        tokens[row, : len(ids)] = ids
    return tokens


def encode(text: str, special: tuple[str, str] = OPEN_CLIP) -> list[int]:
    """The ids of one text of any length, without start and end."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    text = " ".join(text.split()).lower()
    special_ids = dict(zip(special, (START, END)))
    ids: list[int] = []
    for piece in _pattern(special).findall(text):
        ids.extend((special_ids[piece],) if piece in special_ids else _merge(piece))
    return ids


def decode(ids: Iterable[int]) -> str:
    """The cleaned text of one row of ids, up to its end token; the inverse of `tokenize`."""
    table, text = _table(), b""
    for i in ids:
        if i == END:
            break
        text += b"" if i == START else table.spelling[i]
    return text.decode(errors="replace").strip()


@lru_cache(maxsize=1)
def merges() -> tuple[str, ...]:
    """The merges, "left right", in the order in which they were learnt: what merges.txt holds."""
    packed = resources.files(__package__) / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode().split("\n")
    return tuple(lines[1 : 1 + _MERGES])


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Every token but start and end, spelled as in vocab.json, with its id."""
    letters = list(_letters().values())
    merged = ["".join(line.split()) for line in merges()]
    spelled = [*letters, *(f"{letter}</w>" for letter in letters), *merged]
    return {token: i for i, token in enumerate(spelled)}


def _letters() -> dict[int, str]:
    """The letter of every byte, in the order of ids."""
    # In the file a byte is one character: itself if it is visible in Latin-1, else one from 256 up.
    # The visible ones have the lower ids.
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(visible)]
    return {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(others)}


class _Table(NamedTuple):
    byte: dict[int, int]  # byte -> id inside a word; + 256 at its end
    pair: dict[tuple[int, int], int]  # two ids -> the merged one; earlier merges have lower ids
    spelling: list[bytes]  # id -> bytes, a space where a word ends


@lru_cache(maxsize=1)
def _table() -> _Table:
    order, number = list(_letters()), vocabulary()
    spelling = [bytes([b]) for b in order] + [bytes([b]) + b" " for b in order]
    pair = {}
    for line in merges():
        left, right = line.split()
        pair[number[left], number[right]] = len(spelling)
        spelling.append(spelling[number[left]] + spelling[number[right]])
    return _Table({b: i for i, b in enumerate(order)}, pair, spelling)


@lru_cache(maxsize=1 << 17)
def _merge(piece: str) -> tuple[int, ...]:
    """The ids of one word: join the neighbours that were merged first in training, repeatedly."""
    table = _table()
    ids = [table.byte[b] for b in piece.encode()]
    ids[-1] += 256
    while len(ids) > 1:
        best = min(pairwise(ids), key=lambda p: table.pair.get(p, VOCABULARY))
        if best not in table.pair:
            break
        joined, i = [], 0
        while i < len(ids):
            if (*ids[i : i + 2],) == best:
                joined.append(table.pair[best])
                i += 2
            else:
                joined.append(ids[i])
                i += 1
        ids = joined
    return tuple(ids)


@lru_cache
def _pattern(special: tuple[str, str]) -> regex.Pattern:
    """Words: contractions, runs of letters, single digits, runs of other symbols.

    `regex`, because the standard library has no \\p{L}, \\p{N}, and another Unicode version.
    """
    literal = "|".join(map(regex.escape, special))
    return regex.compile(
        literal + r"|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE
    )
