"""What a data set is, what a source string says, and what a family of sources hands over."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Images in a fixed order.

    images (N, S, S, 3) uint8: an array, possibly a read-only memory map, or `lazy.LazyImages`,
    which are read when they are asked for; labels (N,) int32 in 0..C-1, or None if the source has
    none; class_names C of them, () without labels; names one per image, a relative file name or
    "source[index]"; content_sha256 the SHA-256 (hex) over shape, pixels and labels, for lazy images
    `lazy.content_sha256`; flaw says why the labels of the source are not used although it has some,
    as the end of a sentence about it; passed_over says which files of a folder are no images to
    this program, by suffix; skipped counts the images that `unreadable=skip` left out.
    """

    images: Any
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    content_sha256: str
    flaw: str = ""
    passed_over: str = ""
    skipped: int = 0

    @property
    def note(self) -> str:
        """What a line about the set ends in: what is not part of it."""
        return note(self.passed_over, self.skipped)


class Source(NamedTuple):
    """A source string taken apart: `kind:place?option=...&option=...`; see `sources`."""

    text: str
    kind: str
    place: str
    classes: tuple[int, ...] | None = None
    only: str | None = None  # a list of class names, see `class_lists`
    per_class: int | None = None
    sample: int | None = None
    limit: int | None = None
    resize: int | str | None = None  # a size, "stretch", or None
    root: str | None = None
    exif: str | None = None  # "ignore" leaves images as their pixels lie
    unreadable: str | None = None  # "skip" leaves out images that cannot be decoded


class Listing(NamedTuple):
    """A source that was opened, its images not yet decoded.

    names and labels (N,) as in `Dataset`, except that without class_names labels are any numbers;
    `flaw` says, as the end of a sentence about the source, why labels cannot be used, and is "" if
    they can: with labels None it has none, otherwise they are wrong.
    `image(i)` gives image i as a PIL image or a (H, W, 3) uint8 array and may be called from
    several threads; `encoded(i)` gives what another process can open, see `decode.opened`, and is
    None where `image` does. `pixels` (N, H, W, 3) uint8 where all images are in memory already.
    `identity(indices)` is text that changes whenever these images do, and is the same on every
    machine: names and hashes of the files. `passed_over`: see `Dataset`.
    """

    names: tuple[str, ...]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    image: Callable
    flaw: str = ""
    pixels: np.ndarray | None = None
    identity: Callable[[np.ndarray], str] | None = None
    encoded: Callable[[int], str | bytes | np.ndarray] | None = None
    passed_over: str = ""


def note(passed_over: str, skipped: int) -> str:
    """What a line about a set ends in, see `Dataset`."""
    left_out = f"{skipped:,} unreadable images left out" if skipped else ""
    return "".join(f"; {text}" for text in (passed_over, left_out) if text)


def usable_labels(
    labels: np.ndarray, class_names: tuple[str, ...] = ()
) -> tuple[np.ndarray | None, str]:
    """What a source's labels are worth: `labels` and `flaw` of its `Listing`.

    Lists of images without a class have a negative number in place of every label.

    Args:
      labels: integers (N,), N >= 1.
      class_names: names of the classes 0..C-1; () where the source has no names.
    """
    negative = labels < 0
    if negative.any():
        first = int(np.argmax(negative))
        flaw = f"has the negative label {labels[first]} (image {first})"
        return (None if negative.all() else labels), flaw
    if class_names and labels.max() >= len(class_names):
        flaw = f"has the label {labels.max()} but only {len(class_names)} class names"
        return labels, flaw
    return labels, ""
