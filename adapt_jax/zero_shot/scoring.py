"""Zero-shot detectors on embeddings: every set scored, a stream per OOD set where order matters.

A detector that adapts gives the ID images other scores in the stream of every OOD set: those are
called "id-NAME", beside "NAME" for the OOD set's own. The others score each set once.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax import zero_shot_detectors
from adapt_jax.core.arrays import matmul
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import streams
from adapt_jax.data.set_names import ID, id_side, ood_side
from adapt_jax.results import scoring
from adapt_jax.results.scored import Scored
from adapt_jax.results.scoring import stream_key
from adapt_jax.runtime import progress
from adapt_jax.zero_shot.image_features import ImageSet
from adapt_jax.zero_shot_detectors import TextBank
from adapt_jax.zero_shot_detectors.streams import compiled, is_static
from adapt_jax.zero_shot_detectors.streams import run as run_stream

_BLOCK = 512

# (embeddings (N, D), order (N,), what they are) -> scores (N,) of a fresh detector.
Seen = Callable[[np.ndarray, np.ndarray, str], np.ndarray]


class Task(NamedTuple):
    """What detectors are given: a bank, embeddings by set, the ID test set being "id".

    groups: group of every other set; those of group "shifted" belong to the ID side.
    noise: embeddings of noise images (N, D) for detectors that start from them, or None.
    """

    bank: TextBank
    sets: Mapping[str, ImageSet]
    groups: Mapping[str, str]
    settings: streams.Settings
    noise: np.ndarray | None = None

    @property
    def own(self) -> list[str]:
        """The sets of the ID side."""
        return id_side(self.groups)

    @property
    def others(self) -> list[str]:
        """The OOD sets."""
        return ood_side(self.groups)

    @property
    def images_of(self) -> dict[str, str]:
        """The set whose images have scores of each name that is no set's own."""
        return {stream_key(own, other): own for other in self.others for own in self.own}


def mixed(task: Task) -> Task:
    """The task with as many images of each set as its mix says."""
    if not task.settings.draws:
        return task
    sizes = {name: len(embedding_set.names) for name, embedding_set in task.sets.items()}
    wanted = streams.mixed(sizes.pop(ID), sizes, task.settings)
    sets = {
        name: embedding_set.take(
            streams.draw(len(embedding_set.names), wanted[name], task.settings)
        )
        for name, embedding_set in task.sets.items()
    }
    return task._replace(sets=sets)


def run(
    specs: Sequence[Spec],
    task: Task,
    *,
    resamples: int = 0,
    report_progress: Callable[[str], None],
    profile: Callable | None = None,
) -> Scored:
    """Scores every set of a task with every detector, see `results.scoring.run`.

    Args:
      specs: the detectors.
      task: the embeddings.
      resamples: number of bootstrap resamples behind the intervals in each row; 0 for none.
      report_progress: function called with a line about progress and speed.
      profile: function that profiles the steps, see `profiling.trace.calls`.

    Raises:
      InputError: no detector at all could be used; says why.
    """

    def fitted(spec: Spec) -> scoring.FittedDetector:
        return _fitted(spec, task, report_progress, profile)

    return scoring.run(
        specs, fitted, task.groups, resamples=resamples, report_progress=report_progress
    )


def _fitted(spec: Spec, task: Task, report_progress, profile) -> scoring.FittedDetector:
    """The detector with its step compiled; whether it adapts decides where its scores come from."""
    detector, step = made(spec.text)
    if profile is not None:
        step = profile(step, step.lower)
    width = task.bank.labels.shape[1]
    fresh = partial(detector.start, task.bank, task.noise)
    static = is_static(detector.step, fresh(), width)

    def seen(rows: np.ndarray, order: np.ndarray, what: str) -> np.ndarray:
        on_batch = progress.reporter(report_progress, f"{spec.text}: {what}", len(rows))
        return run_stream(step, fresh(), rows, order, task.settings.batch_size, on_batch)[0]

    return scoring.FittedDetector(
        partial(_scores_of_sets if static else _scores_of_streams, task, seen),
        in_streams=not static,
        fields={"adaptive": not static, **task.settings.fields()},
    )


@functools.cache
def made(text: str) -> tuple[Any, Any]:
    """The StreamDetector of a spec string and its compiled step, one for all streams."""
    detector: Any = zero_shot_detectors.make(text)
    return detector, compiled(detector.step)


def _scores_of_sets(task: Task, seen: Seen) -> dict[str, np.ndarray]:
    """Each set once: order and company do not matter to the detector."""
    return {
        name: seen(embedding_set.embeddings, np.arange(len(embedding_set.names)), name)
        for name, embedding_set in task.sets.items()
    }


def _scores_of_streams(task: Task, seen: Seen) -> dict[str, np.ndarray]:
    """A stream of its own for every OOD set, with all ID sets in it."""
    scores: dict[str, np.ndarray] = {}
    for other in task.others:
        parts, rows, order = stream_of(task, other)
        ends = np.cumsum([len(part) for part in parts.values()])[:-1]
        scores |= dict(zip(parts, np.split(seen(rows, order, f"ID with {other}"), ends)))
    return scores


def stream_of(task: Task, other: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The images that come with an OOD set: by name, all of them (N, D), and their order (N,)."""
    parts = {stream_key(own, other): task.sets[own].embeddings for own in task.own}
    parts[other] = task.sets[other].embeddings
    rows = np.concatenate(list(parts.values()))
    count = len(rows) - len(parts[other])
    return parts, rows, streams.order(count, len(parts[other]), task.settings)


def classify(
    labels: np.ndarray | jax.Array, embeddings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest label of each image, as CLIP classifies: classes (N,) int and cosines (N,).

    Args:
      labels: unit rows (C, D), the embeddings of the labels.
      embeddings: unit rows (N, D), the embeddings of the images.
    """
    texts = jnp.asarray(labels)
    nearest = map_rows(partial(_nearest, texts), embeddings, _BLOCK)
    return nearest, np.einsum("nd,nd->n", labels[nearest], embeddings)


@jax.jit
def _nearest(texts: jax.Array, images: jax.Array) -> jax.Array:
    return jnp.argmax(matmul(images, texts.T), axis=1)


def check(
    specs: Sequence[Spec],
    groups: Mapping[str, str],
    *,
    labels: int,
    negatives: int,
    noise: bool = True,
) -> None:
    """Finds what would stop the detectors, before there are embeddings.

    Args:
      specs: the detectors.
      groups: group of each set, as in `Task`.
      labels, negatives: number of labels and of negatives in the bank.
      noise: whether there are, or will be, embeddings of noise images.

    Raises:
      InputError: a set has the name of other scores, or a detector that was named cannot work with
        a bank of that size.
    """
    names = (ID, *groups)
    if clash := sorted(Task(None, {}, groups, None).images_of.keys() & set(names)):
        raise InputError(
            f"a set cannot be called {clash[0]!r}, files of scores use that word; rename it"
        )
    bank = TextBank(np.ones((labels, 1), np.float32), np.ones((negatives, 1), np.float32))
    for spec in specs:
        if spec.named:
            detector: Any = spec.make()  # a StreamDetector
            detector.start(bank, np.ones((1, 1), np.float32) if noise else None)
