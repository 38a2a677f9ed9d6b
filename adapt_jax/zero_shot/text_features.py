"""Class names and a corpus -> prompts -> CLIP's text tower -> NegMining -> the text bank.

Embeddings of all sentences are kept in WORKDIR/text, by model and sentences, so another percentile
or number of negatives costs no second pass. `text.npz` there is the bank, as --from_features reads
it; `negatives.csv` names the chosen words.
"""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from adapt_jax import clip
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import write_atomically
from adapt_jax.core.sheets import csv_text
from adapt_jax.inference import feature_cache, zero_shot_files
from adapt_jax.inference.clip_encoder import Encoder
from adapt_jax.inference.zero_shot_files import Text
from adapt_jax.runtime import processes, sharding
from adapt_jax.text_bank import Corpus, corpus, phrases, prompts
from adapt_jax.zero_shot.learned_prompts import LearnedPrompts
from adapt_jax.zero_shot_detectors import TextBank, mine_negatives

NOUN, ADJECTIVE = "noun", "adjective"
_BLOCK = 4096  # words whose cosines with all labels are there at one time


class Mining(NamedTuple):
    """How negatives are chosen among the candidates, see `zero_shot_config`."""

    percentile: float
    fraction: float
    count: int | None  # type: ignore[assignment]  # hides tuple.count
    convention: Literal["neglabel", "openood_vlm"]
    near_duplicate: float | None = None
    file: str = ""


class Candidates(NamedTuple):
    """Prompts and words, read before class names are known.

    prompts: the templates of sentences.
    corpus: the words; None if no negatives are wanted, or all of them are given.
    given: words by kind that are all negatives, without mining; {} for none.
    without_labels: whether words spelled like an ID class are dropped.
    as_phrases: whether adjectives become phrases, see `phrases.of`.
    mining: how negatives are chosen.
    """

    prompts: prompts.Prompts
    corpus: Corpus | None
    without_labels: bool
    as_phrases: bool
    mining: Mining
    given: Mapping[str, tuple[str, ...]]


class Words(NamedTuple):
    """What a bank is made of, before any network sees it.

    candidates: words by kind, in the order the bank will have them; {} if no negatives are wanted.
    counts: how many of each kind become negatives.
    mining: how they are chosen.
    source: where the candidates are from.
    learned: learned contexts, which take the place of sentences once the negatives are chosen.
    given: a bank that was embedded elsewhere, in place of all of this but the names of the classes.
    """

    class_names: tuple[str, ...]
    prompts: prompts.Prompts
    candidates: dict[str, tuple[str, ...]]
    counts: dict[str, int]
    mining: Mining
    source: str = ""
    learned: LearnedPrompts | None = None
    given: Text | None = None

    def about_prompts(self) -> dict[str, Any]:
        """The templates of sentences that are used, and where learned contexts are from."""
        used = self.given is None and (self.learned is None or bool(self.candidates))
        learned = {} if self.learned is None else self.learned.about()
        return (self.prompts._asdict() if used else {}) | learned

    def about(self) -> dict[str, Any]:
        """Where the candidates are from, and how many there are of each kind."""
        return {"source": self.source} | {k: len(words) for k, words in self.candidates.items()}


class _Sentences(NamedTuple):
    """What `feature_cache.cached` wants to know of a data set: sentences, or token ids (N, L)."""

    images: Sequence[str] | np.ndarray
    labels: None = None


NONE = Candidates(prompts.make(), None, False, False, Mining(0.95, 0, None, "neglabel"), {})
"""No words at all, where the text bank comes from elsewhere."""


def read_candidates(
    templates: Mapping[str, Any], words: Mapping[str, Any], negatives: Mapping[str, Any]
) -> Candidates:
    """Reads prompts and the words that may become negatives; quick.

    Args:
      templates: arguments of `prompts.make`.
      words: arguments of `corpus.load`, and `without_labels` and `phrases`.
      negatives: the fields of `Mining`.

    Raises:
      InputError: a corpus or prompts that are not there or cannot be, or a choice that is unknown.
    """
    templates_used = prompts.make(**templates)
    settings = Mining(**negatives)
    if settings.convention not in ("neglabel", "openood_vlm"):
        raise InputError(
            'config field negatives.convention is "neglabel" or "openood_vlm", got '
            f"{settings.convention!r}"
        )
    options = dict(words)
    drop, as_phrases = options.pop("without_labels"), options.pop("phrases")
    given: dict[str, tuple[str, ...]] = {}
    wanted = settings.fraction if settings.count is None else settings.count
    if settings.file:
        kinds = {"noun": NOUN, "adj": ADJECTIVE}
        given = {kinds[kind]: words for kind, words in corpus.ready(settings.file).items()}
        wanted = 0
    words_read = corpus.load(**options) if wanted else None
    return Candidates(templates_used, words_read, drop, as_phrases, settings, given)


def words_of(source: Candidates, class_names: Sequence[str]) -> Words:
    """What the bank of some ID classes is made of.

    Args:
      source: the candidates, from `read_candidates`.
      class_names: names of the ID classes.
    """
    settings, class_names = source.mining, tuple(class_names)
    if source.given:
        counts = {kind: len(words) for kind, words in source.given.items()}
        given = dict(source.given)
        return Words(class_names, source.prompts, given, counts, settings, settings.file)
    if source.corpus is None:
        return Words(class_names, source.prompts, {}, {}, settings)
    kept = corpus.without(source.corpus, class_names) if source.without_labels else source.corpus
    if source.as_phrases:
        kept = kept._replace(adjectives=phrases.of(kept.adjectives))
    candidates = {NOUN: kept.nouns, ADJECTIVE: kept.adjectives}
    if settings.convention == "openood_vlm":
        candidates = dict(reversed(candidates.items()))
    counts = _counts(settings, kept)
    return Words(class_names, source.prompts, candidates, counts, settings, kept.source)


def _counts(settings: Mining, words: Corpus) -> dict[str, int]:
    """A share of each kind, or a total split in proportion; at most all there are."""
    nouns, adjectives = len(words.nouns), len(words.adjectives)
    if settings.count is None:
        return {
            NOUN: int(settings.fraction * nouns),
            ADJECTIVE: int(settings.fraction * adjectives),
        }
    part = int(settings.count * adjectives / (nouns + adjectives))
    return {NOUN: min(settings.count - part, nouns), ADJECTIVE: min(part, adjectives)}


def build(
    words: Words,
    encoder: Encoder,
    batch_size: int,
    workdir: pathlib.Path,
    *,
    written: bool = True,
) -> Text:
    """The text bank of words, from cache or network.

    Args:
      words: the words, from `words_of`.
      encoder: the CLIP encoder.
      batch_size: number of texts per pass over all devices.
      workdir: folder of the job.
      written: whether text.npz and negatives.csv are written.

    Raises:
      InputError: a prompt is too long for the model.
    """
    folder = pathlib.Path(workdir) / "text"
    if words.given is not None:
        if written and processes.is_main():
            zero_shot_files.save_text(pathlib.Path(workdir), words.given)
        return words.given

    raw = not words.prompts.unit_first

    def kept(name: str, text: str, sentences, encoder: Encoder, raw: bool) -> np.ndarray:
        key = hashlib.sha256(text.encode()).hexdigest()

        def run(sentences):
            return {"embeddings": encoder.texts_shared(sentences, batch_size, name, raw)}

        path = feature_cache.path_of(folder, name, key)
        return feature_cache.cached(path, key, _Sentences(sentences), run)["embeddings"]

    def features(name: str, sentences: list[str]) -> np.ndarray:
        text = "\0".join((encoder.sha256, *["raw"] * raw, *sentences))
        return kept(name, text, sentences, encoder, raw)

    def learned(name: str, model: clip.Model, ids: np.ndarray) -> np.ndarray:
        assert words.learned is not None
        ids_sha256 = hashlib.sha256(ids.tobytes()).hexdigest()
        text = "\0".join((encoder.sha256, words.learned.sha256, ids_sha256, name))
        larger = encoder._replace(model=model.placed(partial(sharding.replicate, encoder.mesh)))
        return kept(name, text, ids, larger, False)

    def encode(name: str, templates: Sequence[str], entries: Sequence[str]) -> np.ndarray:
        each = (features(name, prompts.fill(template, entries)) for template in templates)
        return prompts.ensemble(each, words.prompts.unit_first)

    if words.learned is None or words.candidates:
        labels = encode("labels", words.prompts.labels, words.class_names)
    mined, rows, table = [], [], []
    templates = {NOUN: words.prompts.noun, ADJECTIVE: words.prompts.adjective}
    settings = words.mining
    for kind, candidates in words.candidates.items():
        embeddings = encode(f"{kind}s", templates[kind], candidates)
        encoder.report_progress(f"choosing {words.counts[kind]:,} of {len(embeddings):,} {kind}s")
        chosen = np.arange(len(embeddings))
        if not settings.file:
            chosen = mine_negatives(
                embeddings,
                labels,
                settings.percentile,
                count=words.counts[kind],
                convention=settings.convention,
                near_duplicate=settings.near_duplicate,
            )
        names = [candidates[i] for i in chosen]
        mined += names
        rows.append(embeddings[chosen])
        table += _table(names, kind, embeddings[chosen], labels, words.class_names, settings)
    called = tuple(mined)
    if words.learned is not None:
        labels = learned("labels", *words.learned.of_labels(encoder.model, words.class_names))
        prompted = words.learned.of_words(encoder.model, words.class_names, mined)
        if prompted is not None:
            rows, called = [learned("negatives", *prompted[:2])], prompted[2]
    negatives = np.concatenate([labels[:0], *rows])
    text = Text(TextBank(labels, negatives), words.class_names, called)
    if written and processes.is_main():
        zero_shot_files.save_text(pathlib.Path(workdir), text)
        lines = csv_text(table, ["word", "kind", "similarity", "nearest_label", "cosine"])
        write_atomically(folder / "negatives.csv", lines)
    return text


def _table(names, kind, rows, labels, class_names, settings) -> list[dict]:
    """Rows of negatives.csv: the similarity words were ranked by, and the label nearest to each."""
    largest = len(labels) - 1
    quantile = settings.percentile
    if settings.convention == "openood_vlm":
        quantile = min(int(quantile * len(labels)), largest) / max(largest, 1)
    table = []
    for start in range(0, len(rows), _BLOCK):
        cosine = rows[start : start + _BLOCK] @ labels.T
        similar = np.quantile(cosine, quantile, axis=1)
        for name, value, nearest, row in zip(names[start:], similar, cosine.argmax(axis=1), cosine):
            table.append(
                {
                    "word": name,
                    "kind": kind,
                    "similarity": f"{value:.6f}",
                    "nearest_label": class_names[nearest],
                    "cosine": f"{row[nearest]:.6f}",
                }
            )
    return table
