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
    `lazy.fingerprint`.
    """

    images: Any
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    fingerprint: str


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

    names and labels (N,) as in `Dataset`; `flaw` says, as the end of a sentence about the source,
    why its labels cannot be used (then labels may be None), and is "" if they can.
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


def label_flaw(labels: np.ndarray, class_names: tuple[str, ...]) -> str:
    """Why labels (N,) do not number the classes 0..C-1, or "" if they do.

    class_names may be () where the source has no names. A class below the largest label without an
    image usually means labels that count from 1, or a data set that is half there.
    """
    if labels.min() < 0:
        return f"has the negative label {labels.min()} (image {int(np.argmax(labels < 0))})"
    present = np.unique(labels)
    absent = np.flatnonzero(present != np.arange(len(present)))
    if len(absent):
        missing = int(absent[0])
        name = f" ({class_names[missing]})" if missing < len(class_names) else ""
        return f"has no image of class {missing}{name} although labels go up to {present[-1]}"
    if class_names and present[-1] >= len(class_names):
        return f"has the label {present[-1]} but only {len(class_names)} class names"
    return ""
