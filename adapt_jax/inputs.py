"""The image sets of a run: loaded and checked together, before any long work."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adapt_jax import detector_specs
from adapt_jax.core.errors import InputError
from adapt_jax.data import sources, suites
from adapt_jax.data.sources import Dataset
from adapt_jax.methods.base import Method


class Data(NamedTuple):
    """Every image set of a run, decoded; `ood` maps each set's name to its images."""

    train: Dataset
    test: Dataset
    ood: dict[str, Dataset]
    groups: dict[str, str]


def load(config, method: Method, say: Callable[[str], None] = lambda text: None) -> Data:
    """Decodes every set before any long work starts.

    Args:
      config: of the run.
      method: the objective; decides whether labels are needed.
      say: told one line per set.

    Raises:
      InputError: names the source and what is wrong with it.
    """
    size, labeled = config.image_size, method.targets == "labels"
    train = sources.load(config.train_data, size, labeled=labeled)
    test = sources.load(config.test_data, size)
    if test.labels is not None and test.class_names != train.class_names:
        if train.labels is not None:
            say("warning: test_data has other classes than train_data; its labels are not used")
        test = test._replace(labels=None)
    kinds = "no labels" if train.labels is None else f"{num_classes(train)} classes"
    say(f"train  {config.train_data}: {len(train.images):,} images, {kinds}")
    say(f"test   {config.test_data}: {len(test.images):,} images")
    if test.fingerprint == train.fingerprint:
        say("warning: train_data and test_data hold the same images; ID scores will look too good")
    if labeled and num_classes(train) < 2:
        raise InputError(
            f"train_data {config.train_data} has one class; training needs at least two"
        )
    if len(train.images) < config.batch_size:
        raise InputError(
            f"batch_size {config.batch_size} is larger than the training set "
            f"({len(train.images)} images); use a smaller one"
        )
    _check_classes(config.train_data, train)
    _check_detectors(config, train, clusters=method.refresh is not None)
    ood, groups = {}, {}
    for ood_set in ood_sets(config):
        images = sources.load(ood_set.source, size)
        ood[ood_set.name], groups[ood_set.name] = images, ood_set.group
        say(f"{ood_set.group:<6} {ood_set.name} = {ood_set.source}: {len(images.images):,} images")
    return Data(train, test, ood, groups)


def _check_classes(source: str, train: Dataset) -> None:
    """A class may have lost its images to `limit=` or to a slice."""
    if train.labels is None:
        return
    absent = np.flatnonzero(np.bincount(train.labels) == 0)
    if absent.size:
        name = train.class_names[absent[0]] if train.class_names else absent[0]
        raise InputError(
            f"train_data {source}: class {name} ({absent.size} in all) has no image, so nothing "
            "can be learnt or measured for it; take more images, or choose classes with ?classes="
        )


def _check_detectors(config, train: Dataset, clusters: bool) -> None:
    for spec, detector in detector_specs.make(config.detectors).items():
        if len(train.images) < detector.minimum_images:
            raise InputError(
                f"detector {spec!r} needs at least {detector.minimum_images} training images, "
                f"there are {len(train.images)}"
            )
        if "labels" in detector.needs and train.labels is None and not clusters:
            raise InputError(
                f"detector {spec!r} needs labels, which train_data {config.train_data} does not "
                "have; use knn or ssd"
            )


def ood_sets(config) -> tuple[suites.OodSet, ...]:
    """The OOD sets the config names; none for ""."""
    return suites.resolve(config.ood) if config.ood.strip() else ()


def num_classes(train: Dataset) -> int | None:
    """C of a labelled set, whose labels are 0..C-1; None without labels."""
    return None if train.labels is None else int(train.labels.max()) + 1
