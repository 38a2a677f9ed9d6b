"""What a zero-shot config asks for, read and checked once, before there is any model."""

import pathlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from adapt_jax import zero_shot_detectors
from adapt_jax.config import unused as unused_fields
from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.config.fields import steps_range
from adapt_jax.config.unused import Reasons
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import streams, suites
from adapt_jax.data.classes import Classes
from adapt_jax.inference.clip_encoder import Source
from adapt_jax.zero_shot import image_features, learned_prompts, text_features
from adapt_jax.zero_shot.learned_prompts import LearnedPrompts
from adapt_jax.zero_shot_detectors import TextBank
from adapt_jax.zero_shot_detectors import streams as streams_of_detectors

_NEGATIVES = 1000  # of a bank that is made up
# Fields that make embeddings, which --from_features brings.
ELSEWHERE = dict.fromkeys(
    (
        "clip",
        "class_names",
        "text_features",
        "test_data",
        "ood",
        "prompts",
        "learned_prompts",
        "corpus",
        "negatives",
        "preprocess",
    ),
    "the folder of --from_features brings names, words, images and their embeddings",
)


class Sweep(NamedTuple):
    """Values of one field that are compared with each other.

    field: config field ("stream.mix"), or "detectors.NAME" for a hyper-parameter of the detectors.
    values: the values, as text.
    seeds: seeds of the streams.
    name: of the files that are written.
    """

    field: str
    values: tuple[str, ...]
    seeds: tuple[int, ...]
    name: str = "sweep"


class Scoring(NamedTuple):
    """How embeddings are scored, wherever they are from.

    specs: the detectors.
    stream: how the images of a set reach detectors that adapt.
    resamples: number of bootstrap resamples behind intervals; 0 for none.
    profiled: first step or batch that is traced, and the one behind the last; None for none.
    config: the whole config, as results.json keeps it.
    """

    specs: tuple[Spec, ...]
    stream: streams.Settings
    resamples: int
    profiled: tuple[int, int] | None
    config: Mapping[str, Any]


class Embedding(NamedTuple):
    """Which words and images are embedded, by which CLIP.

    clip: the CLIP.
    suite: the ID test set and the sets to be told from it.
    classes: the ID classes, if a list names them.
    candidates: prompts, and the words that may become negatives.
    learned: learned contexts in place of prompts; None for none.
    text_features: file of a text bank that was embedded elsewhere; "" for none.
    preprocessing: how images are cut.
    text_batch_size, image_batch_size: texts and images per pass over all devices.
    """

    clip: Source
    suite: suites.Suite
    classes: Classes | None
    candidates: text_features.Candidates
    learned: LearnedPrompts | None
    text_features: str
    preprocessing: image_features.Preprocessing
    text_batch_size: int
    image_batch_size: int


def scoring(config) -> Scoring:
    """Reads what both commands need of a config.

    Raises:
      InputError: an unknown or missing field, detector or order, or a value out of its range.
    """
    zero_shot_config.check_fields(config)
    stream = config.stream.to_dict()
    return Scoring(
        zero_shot_detectors.parse(config.detectors),
        streams.make(
            stream["order"],
            stream["batch_size"],
            str(stream["mix"]),
            config.seed,
            full_spectrum=config.full_spectrum,
            count=stream["count"],
        ),
        config.bootstrap,
        steps_range(config.profile, "config field profile"),
        config.to_dict(),
    )


def refuse_unused(given: Collection[str], reasons: Reasons, settings: Scoring) -> None:
    """Raises InputError for a field that was set by hand and decides nothing.

    Args:
      given: fields that were set by hand.
      reasons: fields that decide nothing where the embeddings are from.
      settings: how they are scored.
    """
    ordering = ("stream.order", "stream.batch_size")
    if set(ordering) & set(given) and all(map(is_static, settings.specs)):
        names = ", ".join(spec.text for spec in settings.specs)
        why = f"no score depends on it with {names}; add a detector that adapts, such as adaneg"
        reasons = {**reasons, **dict.fromkeys(ordering, why)}
    values, defaults = settings.config, zero_shot_config.default_config().to_dict()
    unused_fields.refuse(given, reasons, values, defaults)


def is_static(spec: Spec) -> bool:
    """Whether a detector scores each image by itself; False where a made-up bank does not tell."""
    detector: Any = spec.make()
    row = np.ones((1, 1), np.float32)
    try:
        state = detector.start(TextBank(row, np.repeat(row, _NEGATIVES, axis=0)), row)
    except InputError:
        return False
    return streams_of_detectors.is_static(detector.step, state, 1)


def unused(config) -> Reasons:
    """The fields that decide nothing in a job of this config, and why."""
    reasons = {}
    suite = suites.resolve(config.ood)
    if suite.id_test.source:
        reasons["test_data"] = image_features.fixed_by(suite)
    if config.text_features:
        given = f"text_features is {config.text_features}, which holds the whole text bank"
        reasons |= dict.fromkeys(("prompts", "learned_prompts", "corpus", "negatives"), given)
    if suite.class_names:
        reasons["class_names"] = f"suite {suite.name} has them from {suite.class_names}"
    if pathlib.Path(config.clip.path).expanduser().exists():
        reasons["clip.revision"] = "clip.path is a file or folder here, which has no revisions"
    templates, negatives = config.prompts, config.negatives
    wanted_any = negatives.fraction if negatives.count is None else negatives.count
    learned = None if config.text_features else learned_prompts.read(**config.learned_prompts)
    if learned is None:
        reasons["learned_prompts.class_position"] = "there is no learned_prompts.file"
    elif learned.own is not None:
        own = f"{learned.file} has contexts for the labels and for negatives of every class"
        reasons |= dict.fromkeys(("prompts", "corpus", "negatives"), own)
    elif not (negatives.file or wanted_any):
        reasons["prompts"] = f"labels have the contexts of {learned.file}, and no words are mined"
    mining_fields = ("percentile", "convention", "near_duplicate", "fraction", "count")
    if templates.labels and templates.noun and templates.adjective:
        reasons["prompts.preset"] = "prompts.labels, noun and adjective replace all it has"
    if negatives.count is not None:
        reasons["negatives.fraction"] = f"negatives.count is {negatives.count}, and goes first"
    if negatives.file:
        wanted = ("corpus", *(f"negatives.{name}" for name in mining_fields))
        reasons |= dict.fromkeys(wanted, f"negatives.file is {negatives.file}: all its words")
    elif not wanted_any:
        ranked = (f"negatives.{name}" for name in mining_fields[:3])
        wanted = ("corpus", "prompts.noun", "prompts.adjective", *ranked)
        reasons |= dict.fromkeys(
            wanted, "no negatives are wanted (negatives.fraction or count is 0)"
        )
    elif config.corpus.place == "embedded":
        reasons["corpus.lost_heads"] = "it is about WordNet's files, corpus.place is 'embedded'"
    return reasons


def embedding(config, report_progress: Callable[[str], None] = lambda text: None) -> Embedding:
    """Reads what makes embeddings of words and images; opens no image.

    Args:
      config: config of the job.
      report_progress: function called with lines for the user.

    Raises:
      InputError: names, words or sources that are not there or do not fit each other.
    """
    suite = image_features.suite(config.ood, config.test_data, config.full_spectrum)
    learned = None if config.text_features else learned_prompts.read(**config.learned_prompts)
    made_elsewhere = config.text_features or (learned is not None and learned.own is not None)
    plan = Embedding(
        clip=Source(**config.clip.to_dict()),
        suite=suite,
        classes=image_features.listed_classes(
            suite.class_names or config.class_names, suite.id_test.source, report_progress
        ),
        candidates=text_features.read_candidates(
            config.prompts.to_dict(), config.corpus.to_dict(), config.negatives.to_dict()
        )
        if not made_elsewhere
        else text_features.NONE,
        learned=learned,
        text_features=config.text_features,
        preprocessing=image_features.Preprocessing(**config.preprocess.to_dict()),
        text_batch_size=config.text_batch_size,
        image_batch_size=config.image_batch_size,
    )
    image_features.check(suite, plan.preprocessing)
    return plan
