"""Zero-shot detectors on embeddings: every set scored, a stream per OOD set where order matters.

A detector that adapts gives the ID images other scores in the stream of every OOD set: those are
called "id-NAME", beside "NAME" for the OOD set's own. The others score each set once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import matmul
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data.set_names import ID, SHIFTED
from adapt_jax.results import bootstrap, result_rows, tables
from adapt_jax.results.scored import Scored
from adapt_jax.runtime import progress
from adapt_jax.zero_shot.image_features import ImageSet
from adapt_jax.zero_shot_detectors import TextBank, streams
from adapt_jax.zero_shot_detectors.streams import Settings

_BLOCK = 512


class Task(NamedTuple):
    """What detectors are given: a bank, embeddings by set, the ID test set being "id".

    groups: group of every other set; those of group "shifted" belong to the ID side.
    noise: embeddings of noise images (N, D) for detectors that start from them, or None.
    """

    bank: TextBank
    sets: Mapping[str, ImageSet]
    groups: Mapping[str, str]
    settings: Settings
    noise: np.ndarray | None = None

    @property
    def own(self) -> list[str]:
        """The sets of the ID side."""
        return [ID, *(s for s, group in self.groups.items() if group == SHIFTED)]

    @property
    def others(self) -> list[str]:
        """The OOD sets."""
        return [s for s, group in self.groups.items() if group != SHIFTED]

    @property
    def images_of(self) -> dict[str, str]:
        """The set whose images have scores of each name that is no set's own."""
        return {f"{own}-{other}": own for other in self.others for own in self.own}


def mixed(task: Task) -> Task:
    """The task with as many images of each set as its mix says."""
    if task.settings.mix == streams.ALL:
        return task
    sizes = {name: len(found.names) for name, found in task.sets.items()}
    wanted = streams.mixed(sizes.pop(ID), sizes, task.settings)
    sets = {
        name: found.take(streams.draw(len(found.names), wanted[name], task.settings))
        for name, found in task.sets.items()
    }
    return task._replace(sets=sets)


def run(
    specs: Sequence[Spec],
    task: Task,
    *,
    resamples: int = 0,
    say: Callable[[str], None],
    watch: Callable | None = None,
) -> Scored:
    """Scores every set with every detector; one that fails costs only itself.

    Args:
      specs: the detectors.
      task: the embeddings.
      resamples: of the bootstrap behind the intervals in each row; 0 for none.
      say: told what is being done, and how fast.
      watch: profiles the steps, see `profiling.calls`.

    Raises:
      InputError: no detector at all could be used; says why.
    """
    done = Scored([], {}, {}, {}, {}, {})
    for spec in specs:
        began = time.perf_counter()
        try:
            adaptive, found = _score(spec, task, say, watch)
            rows = _rows(spec.text, found, task, adaptive, resamples)
        except InputError as e:
            (done.failed if spec.named else done.unfit)[spec.text] = str(e)
            continue
        done.scores[spec.text] = found
        done.rows.extend(rows)
        done.seconds[spec.text] = {"score": time.perf_counter() - began}
    if not done.rows:
        raise InputError("; ".join(f"{k}: {e}" for k, e in {**done.failed, **done.unfit}.items()))
    return done


def _score(spec: Spec, task: Task, say, watch) -> tuple[bool, dict[str, np.ndarray]]:
    """Whether the detector adapts, and its scores by name."""
    detector: Any = spec.make()  # a StreamDetector
    step: Any = streams.compiled(detector.step)
    size = task.settings.batch_size
    if watch is not None:
        step = watch(step, step.lower)
    found: dict[str, np.ndarray] = {}
    fresh = partial(detector.start, task.bank, task.noise)
    if streams.is_static(detector.step, fresh(), task.bank.labels.shape[1]):
        for name, one in task.sets.items():
            rows, order = one.embeddings, np.arange(len(one.names))
            done = progress.reporter(say, f"{spec.text}: {name}", len(rows))
            found[name] = streams.scores(step, fresh(), rows, order, size, done)
        return False, found
    for other in task.others:
        parts = {f"{own}-{other}": task.sets[own].embeddings for own in task.own}
        parts[other] = task.sets[other].embeddings
        rows = np.concatenate(list(parts.values()))
        count = len(rows) - len(parts[other])
        order = streams.order(count, len(parts[other]), task.settings)
        done = progress.reporter(say, f"{spec.text}: ID with {other}", len(rows))
        scored = streams.scores(step, fresh(), rows, order, size, done)
        ends = np.cumsum([len(part) for part in parts.values()])[:-1]
        found |= dict(zip(parts, np.split(scored, ends)))
    return True, found


def _rows(detector: str, found, task: Task, adaptive: bool, resamples: int) -> list[tables.Row]:
    """The rows of the OOD sets, each group's mean behind them."""
    extra = {"adaptive": adaptive, **task.settings.fields()}
    rows, scores = [], []
    for other in task.others:
        keys = [f"{own}-{other}" if adaptive else own for own in task.own]
        for key in keys:
            result_rows.check_scores(found[key], detector, key)
        own = np.concatenate([found[key] for key in keys])
        scores.append((own, found[other]))
        rows.append(
            result_rows.row(detector, other, task.groups[other], own, found[other], **extra)
        )
    return bootstrap.with_means(rows, scores, resamples)


def classify(
    labels: np.ndarray | jax.Array, embeddings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest label of each image, as CLIP classifies: classes (N,) int and cosines (N,).

    Args:
      labels: (C, D) unit rows.
      embeddings: (N, D) unit rows.
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
      groups: as in `Task`.
      labels, negatives: how many the bank has.
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
