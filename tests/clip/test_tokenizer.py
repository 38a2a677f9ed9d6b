"""Token ids against recorded ones of open_clip, and what is said about texts that do not fit."""

import json
import pathlib

import numpy as np
import pytest

from adapt_jax.clip import tokenizer
from adapt_jax.core.errors import InputError

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden/tokenizer.json").read_text())


def test_recorded_texts():
    tokens = tokenizer.tokenize([case["text"] for case in GOLDEN], truncate=True)
    assert tokens.shape == (len(GOLDEN), 77)
    assert tokens.dtype == np.int32
    for row, case in zip(tokens, GOLDEN):
        ids = case["ids"]
        assert row.tolist() == ids + [0] * (77 - len(ids)), case["text"]


def test_the_other_special_tokens_differ_only_where_recorded():
    for case in GOLDEN:
        ours = tokenizer.encode(case["text"], tokenizer.OPENAI)
        same = ours == tokenizer.encode(case["text"])
        assert same == case["same_in_openai_tokenizer"] or case["text"] == "<end_of_text>"
    assert tokenizer.encode("a <|endoftext|>", tokenizer.OPENAI) == [320, tokenizer.END]


def test_known_ids():
    tokens = tokenizer.tokenize("a photo of a dog", context_length=8)
    assert tokens.tolist() == [[49406, 320, 1125, 539, 320, 1929, 49407, 0]]
    assert tokenizer.tokenize([]).shape == (0, 77)


def test_entities_are_resolved_twice_beside_a_tag():
    """ftfy alone leaves entities alone in texts that contain a `<`."""
    assert tokenizer.encode("<b> &amp;amp; c") == tokenizer.encode("<b> & c")
    assert tokenizer.decode(tokenizer.tokenize("<b> &amp;amp; c")[0]) == "< b > & c"


def test_too_long_is_named_or_cut():
    texts = ["a dog", "dog " * 76]
    with pytest.raises(InputError, match="text 1 .*78 tokens"):
        tokenizer.tokenize(texts)
    cut = tokenizer.tokenize(texts, truncate=True)
    assert cut[1].tolist() == [49406] + [1929] * 75 + [49407]
    assert tokenizer.tokenize("dog " * 75)[0, -1] == 49407  # 77 tokens fit
    assert cut[0, 4:].max() == 0


def test_not_a_string_is_named():
    with pytest.raises(InputError, match="text 1 is 3"):
        tokenizer.tokenize(["a", 3])
    with pytest.raises(InputError, match="context_length"):
        tokenizer.tokenize("a", context_length=1)


@pytest.mark.parametrize("text", ["the nice café", "日本語 3 !", "rock ' n ' roll", ""])
def test_decode_inverts(text):
    assert tokenizer.decode(tokenizer.tokenize(text)[0]) == text


def test_every_id_decodes():
    for i in range(tokenizer.START):
        tokenizer.decode([tokenizer.START, i, tokenizer.END, 5])
    assert tokenizer.decode([tokenizer.START, 1929, tokenizer.END, 0]) == "dog"
