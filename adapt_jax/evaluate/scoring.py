"""Detectors on the outputs of a network: their inputs, fitting and scoring."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data.set_names import ID, VAL, id_side
from adapt_jax.detectors import Detector, Head, ImageDetector, Outputs
from adapt_jax.detectors.fitting import fitting
from adapt_jax.evaluate.together import OnImages, fit_on_images, together
from adapt_jax.results import scoring
from adapt_jax.results.scored import Scored

NO_CLASSIFIER = "needs a network with a classifier"


class Task(NamedTuple):
    """The inputs of detectors.

    train: what they are fitted on; `head`: the classifier, where there is one.
    sets: outputs by name: "id" is the ID test set, "val" held-out ID images, "ood_val" OOD images
      that only a hyper-parameter search may see; the others are named in `groups`.
    groups: group of every OOD set; those of group "shifted" belong to the ID side.
    on_images: function of (network, pixels) -> function of (name of a set, limit) -> values; None
      where there are outputs but no images. The values may be a tree of arrays.
    """

    train: Outputs
    head: Head | None
    sets: Mapping[str, Outputs]
    groups: Mapping[str, str]
    on_images: OnImages | None = None


def fit(detector: Detector | ImageDetector, task: Task) -> Callable[[str], np.ndarray]:
    """Fits a detector and returns its score of a set by name: (N,), larger = more in-distribution.

    Raises:
      InputError: the detector cannot work with these outputs.
    """
    bare = task.head is None and task.train.logits is None
    if bare and detector.needs & {"head", "logits"}:
        raise InputError(NO_CLASSIFIER)
    if isinstance(detector, ImageDetector):
        if task.head is None:
            raise InputError(NO_CLASSIFIER)
        if task.on_images is None:
            raise InputError("needs images and the network, there are only its outputs")
        return task.on_images(fit_on_images(detector, task.on_images))
    state = detector.fit(task.train, val=task.sets.get(VAL), head=task.head)
    return lambda name: detector.score(state, task.sets[name])


def errors(task: Task) -> dict[str, np.ndarray]:
    """ID set -> bool (N,), whether the network's class of each image is wrong.

    Raises:
      InputError: the network has no classifier, or a set no labels.
    """
    wrong = {}
    for name in id_side(task.groups):
        logits, labels = task.sets[name].logits, task.sets[name].labels
        if logits is None or labels is None:
            what = "labels" if logits is not None else "predicted classes, which a classifier makes"
            raise InputError(
                f"selective is about wrong classes, and the set {name!r} has no {what}"
            )
        wrong[name] = np.asarray(logits).argmax(axis=1) != np.asarray(labels)
    return wrong


def run(
    specs: Sequence[Spec],
    task: Task,
    *,
    choose: Callable[[Spec, Task], dict[str, Any] | None] | None = None,
    resamples: int = 0,
    selective: bool = False,
    report_progress: Callable[[str], None] = lambda text: None,
) -> Scored:
    """Scores every set of a task with every detector, see `results.scoring.run`.

    Args:
      specs: the detectors.
      task: the outputs.
      choose: function that searches hyper-parameters, `search.choose`; None keeps those of `specs`.
      resamples: number of bootstrap resamples behind the intervals in each row; 0 for none.
      selective: whether rows get the columns of `metrics.selective`.
      report_progress: function called with a line about the current step.

    Raises:
      InputError: no detector at all could be used, or `selective` without predicted and true
        classes of the ID test images; says why.
    """
    wrong = errors(task) if selective else {}

    @functools.cache
    def shared() -> Mapping[str, Callable[[str], np.ndarray]]:
        if choose or task.head is None or task.on_images is None:
            return {}
        made = {spec.text: spec.make() for spec in specs}
        on_images = {text: d for text, d in made.items() if isinstance(d, ImageDetector)}
        return together(on_images, task.on_images)

    def fitted(spec: Spec) -> scoring.FittedDetector:
        searched = choose(spec, task) if choose else None
        best = searched["chosen"] if searched else {}
        adapted = {} if searched else _fitting(spec, task)
        detector = spec.make(**best, **adapted)
        one_of_many = isinstance(detector, ImageDetector) and shared().get(spec.text)
        score = one_of_many or fit(detector, task)
        return scoring.FittedDetector(
            lambda: {name: score(name) for name in (ID, *task.groups)},
            fields={"searched": best} if searched else {},
            searched=searched,
            adapted=adapted,
            errors=wrong,
        )

    return scoring.run(
        specs, fitted, task.groups, resamples=resamples, report_progress=report_progress
    )


def _fitting(spec: Spec, task: Task) -> dict[str, Any]:
    """What replaces the defaults that these outputs are too few for."""
    images, features = np.shape(task.train.features)
    held_out = len(task.sets[VAL].features) if VAL in task.sets else images
    return fitting(spec, images=images, features=features, held_out=held_out)
