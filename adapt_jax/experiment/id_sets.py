"""The training images, whose classes are the ID classes, and sets whose labels follow them."""

from collections.abc import Callable, Sequence

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data import classes, sources, suites
from adapt_jax.data.classes import Classes
from adapt_jax.data.sources import Dataset

ReportProgress = Callable[[str], None]


def training_set(
    load: Callable[..., Dataset],
    source: str,
    class_names: Sequence[str],
    report_progress: ReportProgress,
) -> Dataset:
    """The training images, class folders in the order in which the run has numbered them.

    Args:
      load: `sources.load` of the training images, which may take a `class_order`.
      source: the source string they are from.
      class_names: the classes in the order of a run that exists already; empty for a new one.
      report_progress: function called with a line about the order of the classes, where it may
        surprise.
    """
    train = load()
    if train.flaw:
        raise InputError(f"train_data {source} {train.flaw}")
    recorded, names = tuple(class_names), train.class_names
    if names != recorded and len(names) == len(recorded):
        as_then = load(class_order=recorded)
        if as_then.class_names == recorded:
            report_progress(
                "note: this run has numbered the class folders of train_data in the order of text, "
                f"{', '.join(recorded[:4])}, ..., and keeps it; a new run takes that of their "
                "numbers"
            )
            return as_then
    if sources.parse(source).kind == "folder" and list(names) != sorted(names):
        report_progress(
            "note: the class folders of train_data are in the order of their numbers, 10 after 9; "
            "networks of torchvision's ImageFolder have them in the order of text"
        )
    return train


def classes_of(train: Dataset, source: str) -> Classes | None:
    """The ID classes: those of the training images, which are from `source`."""
    if train.labels is None:
        return None
    names = train.class_names[: int(train.labels.max()) + 1]
    return classes.named(names, "train_data", sources.parse(source).classes)


def id_set(
    what: str,
    expected: suites.OodSet,
    own: Classes | None,
    size: int,
    suite: str,
    report_progress: ReportProgress,
    part: bool = False,
) -> tuple[Dataset, str]:
    """A set of ID images, its labels numbered as the ID classes are, and the rule behind that.

    The sets of a suite are for networks of its classes, `part` if some of these have no image.
    """
    dataset = counted(expected, size, suite)
    try:
        labels, rule, _ = classes.match(
            expected.source, dataset.labels, dataset.class_names, own, dataset.flaw
        )
    except InputError as e:
        if suite:
            raise InputError(_for_another_network(suite, str(e))) from None
        raise
    if suite and labels is not None and not part and len(np.unique(labels)) < len(own.names):
        raise InputError(_for_another_network(suite, f"{expected.source}: {rule}"))
    report_progress(
        f"{what:<6} {expected.source}: {len(dataset.images):,} images, {rule}{dataset.note}"
    )
    return dataset._replace(labels=labels), rule


def _for_another_network(suite: str, why: str) -> str:
    return f"suite {suite} has other classes than train_data, it is for another network ({why})"


def counted(expected: suites.OodSet, size: int, suite: str) -> Dataset:
    """Loads a set and insists on the number of images its protocol has."""
    dataset = sources.load(expected.source, size)
    suites.check_count(expected, len(dataset.images) + dataset.skipped, suite)
    return dataset
