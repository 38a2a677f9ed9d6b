"""From words to a text bank: what is chosen, in which order, and what is kept for the next time."""

import csv

import jax
import numpy as np
import pytest

from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.core.errors import InputError
from adapt_jax.inference import clip_encoder as encoder
from adapt_jax.runtime import sharding
from adapt_jax.text_bank import Corpus
from adapt_jax.zero_shot import text_features
from adapt_jax.zero_shot_detectors import mine_negatives
from tests.zero_shot import tiny_clip

NAMES = ("zero", "one", "two", "three")


def config(**changes):
    chosen = zero_shot_config.default_config()
    chosen.class_names, chosen.corpus.place, chosen.corpus.skip = "digits", "embedded", ""
    chosen.text_batch_size = 64
    for key, value in changes.items():
        section, _, field = key.partition("__")
        chosen[section][field] = value
    return chosen


@pytest.fixture(scope="module")
def encode(tmp_path_factory):
    chosen = config(clip__path=tiny_clip.save(tmp_path_factory.mktemp("clip")))
    return encoder.load(
        encoder.Source(chosen.clip.path), sharding.make_mesh(jax.devices()[:1]), lambda text: None
    )


def read_words(chosen, names):
    found = text_features.read_candidates(
        chosen.prompts.to_dict(), chosen.corpus.to_dict(), chosen.negatives.to_dict()
    )
    return text_features.words_of(found, names)


class Counting:
    """An encoder that remembers which lists of sentences it was given."""

    def __init__(self, encode):
        self.sha256, self.report_progress, self.encode = (
            encode.sha256,
            encode.report_progress,
            encode,
        )
        self.seen = []

    def texts_shared(self, sentences, batch_size, what, raw):
        self.seen.append(what)
        return self.encode.texts_shared(sentences, batch_size, what, raw)


def test_numbers_of_negatives_are_those_of_the_programs():
    def counts(nouns, adjectives, **changes):
        corpus = Corpus(("n",) * nouns, ("a",) * adjectives)
        mining = text_features.Mining(**config(**changes).negatives)
        return text_features._counts(mining, corpus)

    assert counts(57_190, 12_810) == {"noun": 8_578, "adjective": 1_921}
    # YBZh/OpenOOD-VLM on ImageNet, and on CIFAR-10, where the corpus is used up.
    assert counts(58_101, 11_453, negatives__count=10_000) == {"noun": 8_354, "adjective": 1_646}
    assert counts(58_540, 11_453, negatives__count=70_000) == {"noun": 58_540, "adjective": 11_453}


def test_a_bank_is_mined_from_the_corpus_and_kept(encode, tmp_path):
    counting = Counting(encode)
    words = read_words(config(), NAMES)
    text = text_features.build(words, counting, 64, tmp_path)
    assert counting.seen == ["labels", "nouns", "adjectives"]
    assert {k: len(v) for k, v in words.candidates.items()} == {"noun": 357, "adjective": 67}
    assert text.bank.negatives.shape == (int(0.15 * 357) + int(0.15 * 67), 12)
    labels = encode.texts([f"the nice {name}" for name in NAMES], 8, "labels")
    np.testing.assert_allclose(text.bank.labels, labels, atol=1e-6)
    nouns = encode.texts([f"the nice {word}" for word in words.candidates["noun"]], 64, "nouns")
    kept = mine_negatives(nouns, labels)
    assert text.negatives[: len(kept)] == tuple(words.candidates["noun"][i] for i in kept)
    np.testing.assert_allclose(text.bank.negatives[: len(kept)], nouns[kept], atol=1e-6)

    with (tmp_path / "text" / "negatives.csv").open() as file:
        table = list(csv.DictReader(file))
    assert tuple(row["word"] for row in table) == text.negatives
    similar = np.array([float(row["similarity"]) for row in table if row["kind"] == "noun"])
    assert (np.diff(similar) >= -1e-6).all()
    np.testing.assert_allclose(
        similar, np.quantile(nouns[kept] @ labels.T, 0.95, axis=1), atol=1e-5
    )
    with np.load(tmp_path / "text" / "text.npz") as file:
        np.testing.assert_array_equal(file["negatives"], text.bank.negatives)
        assert tuple(file["class_names"]) == NAMES

    other = config(negatives__percentile=0.5, negatives__count=40)
    again = text_features.build(read_words(other, NAMES), counting, 64, tmp_path)
    assert len(again.negatives) == 40
    assert len(counting.seen) == 3  # nothing was encoded anew
    moved = config(prompts__labels="a sketch of a {}")
    text_features.build(read_words(moved, NAMES), counting, 64, tmp_path)
    assert counting.seen[3:] == ["labels"]


def test_a_ready_list_is_taken_whole_and_in_its_order(encode, tmp_path):
    first = text_features.build(read_words(config(), NAMES), encode, 64, tmp_path)
    again = config(negatives__file=str(tmp_path / "text" / "negatives.csv"))
    found = text_features.build(read_words(again, NAMES), encode, 64, tmp_path / "again")
    assert found.negatives == first.negatives
    np.testing.assert_allclose(found.bank.negatives, first.bank.negatives, atol=1e-6)
    (tmp_path / "mine.txt").write_text("zebra\n\nice_cream\nzebra\n")
    words = read_words(config(negatives__file=str(tmp_path / "mine.txt")), NAMES)
    assert words.candidates == {"noun": ("zebra", "ice cream")}
    assert words.counts == {"noun": 2}
    (tmp_path / "other.csv").write_text("word,kind\nwet,adjective\nzebra,noun\nfast,adj\n")
    words = read_words(config(negatives__file=str(tmp_path / "other.csv")), NAMES)
    assert words.candidates == {"adjective": ("wet", "fast"), "noun": ("zebra",)}
    for content, message in (
        ("words\nx\n", "no column 'word'"),
        ("word,kind\nx,verb\n", "no noun"),
    ):
        (tmp_path / "other.csv").write_text(content)
        with pytest.raises(InputError, match=message):
            read_words(config(negatives__file=str(tmp_path / "other.csv")), NAMES)
    with pytest.raises(InputError, match="there is no file"):
        read_words(config(negatives__file="nowhere.txt"), NAMES)


def test_the_other_convention(encode, tmp_path):
    chosen = config(
        prompts__preset="openood_vlm_tip",
        corpus__without_labels=True,
        negatives__count=50,
        negatives__convention="openood_vlm",
    )
    words = read_words(chosen, (*NAMES, "apple"))
    assert list(words.candidates) == ["adjective", "noun"]
    assert "apple" not in words.candidates["noun"]
    assert words.counts == {"noun": 43, "adjective": int(50 * 67 / 423)}
    text = text_features.build(words, encode, 64, tmp_path)
    assert set(text.negatives[:7]) <= set(words.candidates["adjective"])
    assert text.bank.labels.shape == (5, 12)  # the mean of seven templates each
    np.testing.assert_allclose(np.linalg.norm(text.bank.labels, axis=1), 1, rtol=1e-6)
    single = encode.texts([words.prompts.labels[0].format("zero")], 8, "one")
    assert np.abs(single[0] - text.bank.labels[0]).max() > 1e-3


def test_a_bank_of_noun_phrases_and_averaged_prompts(encode, tmp_path):
    chosen = config(prompts__preset="csp", corpus__phrases=True, negatives__near_duplicate=0.9)
    words = read_words(chosen, NAMES)
    assert words.candidates["adjective"][0].startswith("ancient ")
    counting = Counting(encode)
    text = text_features.build(words, counting, 64, tmp_path)
    assert [counting.seen.count(k) for k in ("labels", "nouns", "adjectives")] == [8, 8, 4]
    raw = [
        encode.texts([template.replace("{}", "zero")], 8, "one", raw=True)[0]
        for template in words.prompts.labels
    ]
    mean = np.mean(raw, axis=0)
    np.testing.assert_allclose(text.bank.labels[0], mean / np.linalg.norm(mean), atol=1e-6)
    text_features.build(words, counting, 64, tmp_path)
    assert len(counting.seen) == 20  # the second time from files


def test_no_negatives_need_no_corpus(encode, tmp_path):
    chosen = config(negatives__fraction=0.0, corpus__place="/nowhere")
    words = read_words(chosen, NAMES)
    text = text_features.build(words, encode, 64, tmp_path)
    assert text.bank.negatives.shape == (0, 12)
    with pytest.raises(InputError, match="no word list /nowhere"):
        read_words(config(corpus__place="/nowhere"), NAMES)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompts__preset": "nice"}, "known: mcm"),
        ({"prompts__noun": "the nice"}, "exactly one"),
        ({"corpus__first": "verbs"}, "first must be"),
        ({"corpus__skip": "noun.food,noun.cars"}, r"cannot skip noun\.cars"),
        ({"negatives__convention": "lapt"}, "openood_vlm"),
    ],
)
def test_mistakes_are_named(changes, words):
    with pytest.raises(InputError, match=words):
        read_words(config(**changes), NAMES)


def test_a_prompt_that_does_not_fit_is_named(encode, tmp_path):
    long = config(prompts__labels="the nice " + 20 * "very " + "{}")
    with pytest.raises(InputError, match=r"the nice very.* tokens, more than the 16"):
        text_features.build(read_words(long, NAMES), encode, 64, tmp_path)
