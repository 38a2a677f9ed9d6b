"""What the options of a source leave: which images, with which labels, of which classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data import class_lists, classes
from adapt_jax.data.base import Listing, Source

SAMPLE_SEED = 1  # PALM seeds NumPy with 1 before it draws 10,000 images of Places365


class Selection(NamedTuple):
    """An opened source and what its options leave of it.

    indices: (N,) of the images in `listing`. labels: (N,) int32 that index class_names, or None.
    class_names: of the classes, () without labels. flaw: as in `Dataset`.
    """

    listing: Listing
    indices: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    flaw: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images."""
        return tuple(self.listing.names[i] for i in self.indices)


def select(
    parsed: Source, listing: Listing, *, labeled: bool = False, class_order: Sequence[str] = ()
) -> Selection:
    """Applies the options of a source.

    Args:
      parsed: the source.
      listing: listing of the opened source.
      labeled: whether the caller needs labels, and images of every class.
      class_order: names of class folders in another order than theirs, see `sources.load`; without
        effect if some are not there.

    Raises:
      InputError: an option or the caller needs labels and there are none that can be used, or no
        image is left, or none of a class.
    """
    by_class = (parsed.classes, parsed.only, parsed.per_class)
    if listing.flaw and (labeled or any(option is not None for option in by_class)):
        raise InputError(f"labels are needed, but {parsed.text!r} {listing.flaw}")
    indices, labels = np.arange(len(listing.names)), None
    names: tuple[str, ...] = ()
    if not set(class_order) <= set(listing.class_names):
        class_order = ()
    if listing.labels is not None and not listing.flaw:
        labels, names = _named(listing)
        if (picked := _picked(parsed, listing, names, class_order)) is not None:
            place = np.full(len(names), -1)
            place[picked] = np.arange(len(picked))
            labels, names = place[labels], tuple(names[c] for c in picked)
            indices = np.flatnonzero(labels >= 0)
        if class_order:  # the images of a folder come class by class
            indices = indices[np.argsort(labels[indices], kind="stable")]
        if labeled:
            _check_every_class(parsed, listing, labels[indices], names)
    if parsed.per_class is not None:
        indices = indices[_first_of_each(labels[indices], parsed.per_class)]
    if parsed.sample is not None and parsed.sample < len(indices):
        legacy = np.random.RandomState(SAMPLE_SEED)
        indices = indices[legacy.choice(len(indices), parsed.sample, replace=False)]
    indices = indices[: parsed.limit]
    if not len(indices):
        raise InputError(f"{parsed.text!r} has no image of the classes it asks for")
    if labels is not None:
        labels = np.ascontiguousarray(labels[indices], np.int32)
    return Selection(
        listing, indices, labels, names, "" if listing.labels is None else listing.flaw
    )


def _named(listing: Listing) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels that index class names: where a source has none, the numbers that occur in it."""
    if listing.class_names:
        return listing.labels, listing.class_names
    numbers, labels = np.unique(listing.labels, return_inverse=True)
    return labels.ravel(), tuple(map(str, numbers))


def _picked(
    parsed: Source, listing: Listing, names: tuple[str, ...], class_order: Sequence[str]
) -> list[int] | None:
    """Which classes are kept, in which order; None for all as they are.

    Where classes are called by numbers, `?classes=` means those, else their places; `?only=` means
    names. Numbers of a list or of folders may have no image; other sources know all classes they
    have.
    """
    if class_order:
        return [names.index(name) for name in class_order]
    if parsed.only is not None:
        return class_lists.places(parsed.only, names, parsed.text)
    if parsed.classes is None:
        return None
    numbers = classes.numbers_of(names)
    place = {number: i for i, number in enumerate(numbers or range(len(names)))}
    absent = [c for c in parsed.classes if c not in place]
    if absent and not (numbers and (parsed.kind == "folder" or not listing.class_names)):
        raise InputError(
            f"{parsed.text!r} asks for class {absent[-1]}, but there are only {len(names)} "
            f"({min(place)} to {max(place)})"
        )
    return [place[c] for c in parsed.classes if c in place]


def _check_every_class(
    parsed: Source, listing: Listing, labels: np.ndarray, names: tuple[str, ...]
) -> None:
    """Raises InputError unless every class has an image, as whoever learns from labels needs it.

    A missing class usually means labels that count from 1, or a data set that is half there.
    """
    count = np.bincount(labels, minlength=len(names))
    missing = [f"{i} ({names[i]})" for i in np.flatnonzero(count == 0)]
    if parsed.classes is not None and len(names) < len(parsed.classes):
        missing += [str(c) for c in parsed.classes if str(c) not in names]
    elif parsed.classes is None and not listing.class_names:
        missing += [str(i) for i, name in enumerate(names) if name != str(i)]
    if missing:
        raise InputError(
            f"labels are needed, but {parsed.text!r} has no image of class {missing[0]}, "
            f"its last class is {names[-1]}; give it some, or leave the class out"
        )


def _first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Ascending positions of the first `count` images of every class."""
    order = np.argsort(labels, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(labels[order], labels[order])
    return np.sort(order[rank < count])
