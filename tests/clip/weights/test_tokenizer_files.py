"""A tokenizer beside the weights is CLIP's own, or the model is refused."""

import dataclasses
import json

import pytest

from adapt_jax import clip
from adapt_jax.clip import tokenizer
from adapt_jax.clip.weights import tokenizer_files
from adapt_jax.core.errors import InputError

WHOLE = tokenizer.vocabulary() | {"<|startoftext|>": 49406, "<|endoftext|>": 49407}


def swapped():
    first, second = list(WHOLE)[300:302]
    return WHOLE | {first: WHOLE[second], second: WHOLE[first]}


def bpe(vocabulary=WHOLE, merges=None, kind="BPE"):
    merges = list(tokenizer.merges() if merges is None else merges)
    return {"model": {"type": kind, "vocab": vocabulary, "merges": merges}}


def write(folder, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, "utf-8")


def test_the_vocabulary_is_that_of_the_ids():
    assert len(WHOLE) == tokenizer.VOCABULARY
    assert tokenizer.encode("dog cats") == [WHOLE["dog</w>"], WHOLE["cats</w>"]]


def test_clips_own_files_pass(tmp_path):
    tokenizer_files.check_folder(tmp_path)
    write(tmp_path, "vocab.json", WHOLE)
    write(tmp_path, "merges.txt", "#version: 0.2\n" + "\n".join(tokenizer.merges()) + "\n")
    write(
        tmp_path,
        "tokenizer_config.json",
        {"tokenizer_class": "CLIPTokenizer", "eos_token": {"content": "<|endoftext|>"}},
    )
    write(tmp_path, "special_tokens_map.json", {"bos_token": "<|startoftext|>", "pad_token": "!"})
    for merges in (tokenizer.merges(), [line.split() for line in tokenizer.merges()]):
        write(tmp_path, "tokenizer.json", bpe(merges=merges))
        tokenizer_files.check_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", {"a": 0}, "another vocabulary of 1 tokens"),
        ("vocab.json", swapped(), "another vocabulary of 49408"),
        ("vocab.json", WHOLE | {"<|endoftext|>": 49405}, "another vocabulary"),
        ("merges.txt", "#version: 0.2\na b\n", "1 merges that are not CLIP's 48894"),
        ("tokenizer.json", bpe(kind="Unigram"), "type Unigram"),
        ("tokenizer.json", bpe(merges=tokenizer.merges()[::-1]), "48894 merges that are not"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, "malformed"),
        ("tokenizer_config.json", {"tokenizer_class": "T5Tokenizer"}, "tokenizer T5Tokenizer"),
        ("tokenizer_config.json", {"eos_token": "</s>"}, "eos_token is '</s>'"),
        ("tokenizer_config.json", {"do_lower_case": False}, "do_lower_case"),
        ("special_tokens_map.json", {"bos_token": {"content": "<s>"}}, "bos_token is '<s>'"),
    ],
)
def test_another_tokenizer_is_refused(tmp_path, name, content, message):
    write(tmp_path, name, content)
    with pytest.raises(InputError, match=f"{name} .*{message}"):
        tokenizer_files.check_folder(tmp_path)


def test_a_text_tower_with_other_ids_is_refused_before_texts_are_encoded():
    text = clip.RELEASED["ViT-B/32"].text
    tokenizer_files.check_model(text)
    tokenizer_files.check_model(dataclasses.replace(text, eos_token_id=49407))
    with pytest.raises(InputError, match="end token .* is 5, .* 49407"):
        tokenizer_files.check_model(dataclasses.replace(text, eos_token_id=5))
    with pytest.raises(InputError, match="vocabulary of 250002"):
        tokenizer_files.check_model(dataclasses.replace(text, vocab_size=250002))


def test_loading_refuses_it(tmp_path):
    write(tmp_path, "vocab.json", {"a": 0})
    (tmp_path / "w.safetensors").write_bytes(b"never read")
    with pytest.raises(InputError, match=r"CLIP from .*vocab\.json has another vocabulary"):
        clip.load(tmp_path / "w.safetensors")
