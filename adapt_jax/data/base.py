"""What a data set is, what a source string says, and what a family of sources hands over."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Images in a fixed order.

    images (N, S, S, 3) uint8: an array, possibly a read-only memory map, or `lazy.LazyImages`,
    which are read when they are asked for; labels (N,) int32 in 0..C-1, or None if the source has
    none; class_names C of them, () without labels; names one per image, a relative file name or
    "source[index]"; fingerprint sha256 (hex) over shape, pixels and labels, for lazy images
    `lazy.fingerprint`; flaw says why the source's labels are not among these although it has some,
    as the end of a sentence about it.
    """

    images: Any
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    fingerprint: str
    flaw: str = ""


class Source(NamedTuple):
    """A source string taken apart: `kind:place?option=...&option=...`; see `sources`."""

    text: str
    kind: str
    place: str
    classes: tuple[int, ...] | None = None
    per_class: int | None = None
    sample: int | None = None
    limit: int | None = None
    resize: int | str | None = None  # a size, "stretch", or None
    root: str | None = None


class Listing(NamedTuple):
    """A source that was opened, its images not yet decoded.

    names and labels (N,) as in `Dataset`, except that without class_names labels are any numbers;
    `flaw` says, as the end of a sentence about the source, why labels cannot be used, and is "" if
    they can: with labels None it has none, otherwise they are wrong.
    `image(i)` gives image i as a PIL image or a (H, W, 3) uint8 array and may be called from
    several threads; `encoded(i)` gives what another process can open, see `decode.opened`, and is
    None where `image` does. `pixels` (N, H, W, 3) uint8 where all images are in memory already.
    `stamp(indices)` is text that changes whenever these images do, where a cache is worth it;
    `identity(indices)` the same but equal on every machine, as good as that can be had without
    decoding.
    """

    names: tuple[str, ...]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    image: Callable
    flaw: str = ""
    pixels: np.ndarray | None = None
    stamp: Callable[[np.ndarray], str] | None = None
    identity: Callable[[np.ndarray], str] | None = None
    encoded: Callable[[int], str | bytes | np.ndarray] | None = None


def usable_labels(
    labels: np.ndarray, class_names: tuple[str, ...] = ()
) -> tuple[np.ndarray | None, str]:
    """What a source's labels are worth: `labels` and `flaw` of its `Listing`.

    Lists of images without a class have a negative number in place of every label.

    Args:
      labels: (N,) integers, N >= 1.
      class_names: of the classes 0..C-1; () where the source has no names.
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
