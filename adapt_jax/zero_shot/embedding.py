"""From what a config asks for to words, images and their embeddings."""

import pathlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import sources
from adapt_jax.data.streams import Settings
from adapt_jax.inference import clip_encoder
from adapt_jax.inference.zero_shot_files import NOISE, Text
from adapt_jax.runtime import processes, sharding
from adapt_jax.zero_shot import (
    feature_files,
    image_features,
    noise_images,
    scoring,
    text_features,
)
from adapt_jax.zero_shot.image_features import ImageSet
from adapt_jax.zero_shot.plan import Embedding
from adapt_jax.zero_shot.scoring import Task
from adapt_jax.zero_shot.variants import Changed


class Prepared(NamedTuple):
    """Everything that is known before CLIP is run.

    encoder: the CLIP, on the devices of this process.
    transform: how images are cut.
    opened: the sets by name. groups: the group of every set but "id".
    rules: how labels were matched with the classes.
    words: what the text bank is made of.
    """

    encoder: clip_encoder.Encoder
    transform: partial
    opened: dict[str, sources.LazySet]
    groups: dict[str, str]
    rules: dict[str, str]
    words: text_features.Words

    def size(self) -> str:
        """How large the text bank is, in one line."""
        candidates, counts = self.words.candidates, self.words.counts
        numbers = [f"{counts[k]:,} of {len(words):,} {k}s" for k, words in candidates.items()]
        names, learned = len(self.words.class_names), self.words.learned
        if learned is not None and learned.own is not None:
            numbers = [f"{learned.negatives_of(names, 0):,} of {learned.file}"]
        if self.words.given is not None:
            numbers = [f"{len(self.words.given.bank.negatives):,} of {self.words.source}"]
        return f"text   {names:,} ID classes, negatives: {', '.join(numbers) or 'none'}"


class Embedded(NamedTuple):
    """text: the bank. sets: the sets by name. kept: these, and the noise images if any."""

    text: Text
    sets: dict[str, ImageSet]
    kept: dict[str, ImageSet]

    def task(self, groups: dict[str, str], settings: Settings) -> Task:
        """What detectors are given."""
        noise = self.kept.get(NOISE)
        return Task(self.text.bank, self.sets, groups, settings, rows(noise))


def rows(noise: ImageSet | None) -> np.ndarray | None:
    """The embeddings of noise images, where there are some."""
    return None if noise is None else noise.embeddings


def prepare(
    wanted: Embedding,
    specs: Sequence[Spec],
    report_progress: Callable[[str], None],
    print_line: Callable[[str], None],
    encoder: clip_encoder.Encoder | None = None,
) -> Prepared:
    """Loads the CLIP and opens the images.

    Args:
      wanted: words, images and CLIP.
      specs: the detectors that will be used.
      report_progress: function called with a line about the current step.
      print_line: function called with lines that stay.
      encoder: the CLIP, where it has been loaded already.

    Raises:
      InputError: weights, words or images that are not there or do not fit each other.
    """
    if encoder is None:
        encoder = clip_encoder.load(wanted.clip, sharding.own_mesh(), report_progress)
    transform = image_features.cut(wanted.preprocessing, encoder.model)
    opened, groups = image_features.open_sets(wanted.suite, transform, print_line)
    labelled = image_features.labelled(wanted.classes, wanted.suite, opened, print_line)
    words = text_features.words_of(wanted.candidates, labelled.class_names)
    negatives = sum(words.counts.values())
    if wanted.learned is not None:
        wanted.learned.check(encoder.model, len(words.class_names), negatives)
        negatives = wanted.learned.negatives_of(len(words.class_names), negatives)
        words = words._replace(learned=wanted.learned)
    if wanted.text_features:
        given = _given(wanted.text_features, labelled.class_names, encoder)
        words = words._replace(source=wanted.text_features, given=given)
        negatives = len(given.bank.negatives)
    scoring.check(specs, groups, labels=len(labelled.class_names), negatives=negatives)
    return Prepared(encoder, transform, labelled.opened, groups, labelled.rules, words)


def _given(place: str, names: Sequence[str], encoder: clip_encoder.Encoder) -> Text:
    """A text bank that was embedded elsewhere, with the names of the ID classes.

    Raises:
      InputError: it cannot be read, or is that of other classes or of another CLIP.
    """
    path = pathlib.Path(place).expanduser()
    text = feature_files.read_text(path)
    count, width = text.bank.labels.shape
    if count != len(names) or width != encoder.model.embed_dim:
        raise InputError(
            f"{path} has labels {text.bank.labels.shape}, and there are {len(names)} ID classes "
            f"and embeddings of width {encoder.model.embed_dim}; use that file's CLIP and classes"
        )
    if not all(name.isdecimal() for name in text.class_names) and text.class_names != tuple(names):
        other = next(i for i, pair in enumerate(zip(text.class_names, names)) if pair[0] != pair[1])
        raise InputError(
            f"{path}: class {other} is called {text.class_names[other]!r}, and {names[other]!r} in "
            "class_names; give both in one order"
        )
    return text._replace(class_names=tuple(names))


def embed(
    ready: Prepared,
    wanted: Embedding,
    specs: Sequence[Spec],
    path: pathlib.Path,
    profile: Callable | None = None,
    *,
    written: bool = True,
) -> Embedded:
    """Embeds words and images, or reads what was kept of them.

    Args:
      ready: words and images.
      wanted: what they were prepared from.
      specs: the detectors that will be used.
      path: folder of the job.
      profile: function that profiles the passes of CLIP.
      written: whether the text bank is that of the job, and is written.

    Raises:
      InputError: a prompt is too long, or an image cannot be read.
    """
    encoder, size = ready.encoder, wanted.image_batch_size
    batch_size = wanted.text_batch_size
    text = text_features.build(ready.words, encoder, batch_size, path, written=written)
    sets = image_features.embed(ready.opened, ready.transform, encoder, size, path, profile)
    kept = dict(sets)
    if any(spec.make().starts_from_noise for spec in specs):
        kept[NOISE] = noise_images.embed(encoder, size, path)
    return Embedded(text, sets, kept)


def again(
    change: Changed,
    first: Prepared,
    wanted: Embedding,
    path: pathlib.Path,
    report_progress: Callable[[str], None],
) -> Task:
    """The task of a value that changes words, images or CLIP.

    Args:
      change: the value.
      first: what the job's own config prepared.
      wanted: what that was prepared from.
      path: folder of the job, whose files of embeddings are used and added to.
      report_progress: function called with a line about the current step.

    Raises:
      InputError: as `prepare` and `embed`.
    """
    other = change.embedding
    assert other is not None
    specs = tuple(change.specs.values())
    encoder = first.encoder if other.clip == wanted.clip else None
    with processes.together():
        ready = prepare(other, specs, report_progress, report_progress, encoder)
    embedded = embed(ready, other, specs, path, written=False)
    return embedded.task(ready.groups, change.stream)
