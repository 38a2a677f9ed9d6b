"""Data sets named by a string: `parse` it, `check` that it exists, `load` it as arrays.

    digits, digits:train, digits:test      scikit-learn's digits (embedded); a fixed 2/3 - 1/3 split
    photos, photos:colour, photos:grey     patches of scikit-learn's two photos (embedded)
    tfds:NAME[:SPLIT]                      TensorFlow Datasets, read without TensorFlow
    folder:DIR                             class sub-folders by name or number, or flat
    list:FILE                              OpenOOD image list, lines `path label`
    npz:FILE                               images uint8 (N, H, W[, 3]), labels / names / class_names
    mat:FILE                               SVHN's test_32x32.mat and the like
    KIND:DIR/SPLIT                         cifar, cub, cars, food101, pets, waterbirds as they come

Options after `?`, joined by `&`. Which images, in this order: `classes=0-5` or `classes=0+3+7`
keeps these classes and numbers them anew from 0 (classes that are called by numbers are chosen by
those, others by their place), `only=imagenet100` those of a list, see `class_lists`; `per_class=N`
keeps the first N of each class; `sample=N` draws N at random (always the same ones); `limit=N`
keeps the first N. How they are cut: `resize=R` or `resize=stretch`, see `decode`; `exif=ignore`
leaves them as their pixels lie. `unreadable=skip` leaves out images that cannot be decoded and
counts them. `root=DIR` (list only): where paths start, else the list's own folder.
"""

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.core.image_files import as_stored
from adapt_jax.data import cache, decode, lazy, unreadable
from adapt_jax.data.base import Dataset, Listing, Source
from adapt_jax.data.formats import annotated, arrays, cifar, embedded, folders, tfds
from adapt_jax.data.selection import Selection, select

FAMILIES = {
    "digits": (embedded.check_digits, embedded.open_digits),
    "photos": (embedded.check_photos, embedded.open_photos),
    "tfds": (tfds.check_tfds, tfds.open_tfds),
    "folder": (folders.check_folder, folders.open_folder),
    "list": (folders.check_list, folders.open_list),
    "npz": (arrays.check_npz, arrays.open_npz),
    "mat": (arrays.check_mat, arrays.open_mat),
    "cifar": (cifar.check_cifar, cifar.open_cifar),
    **dict.fromkeys(annotated.KINDS, (annotated.check, annotated.open_split)),
}
FORMS = (
    "digits, photos, tfds:NAME[:SPLIT], folder:DIR, list:FILE?root=DIR, npz:FILE, mat:FILE, "
    "cifar:DIR/train, cub:, cars:, food101:, pets: or waterbirds:DIR/test"
)
OPTIONS = (
    "classes=0-5 (or 0+3+7), only=LIST, per_class=N, sample=N, limit=N, resize=N (or stretch), "
    "unreadable=skip, exif=ignore, root=DIR (list: only)"
)
COUNTS = ("per_class", "sample", "limit", "resize")
_WORDS = (("resize", "stretch"), ("unreadable", "skip"), ("exif", "ignore"))


def parse(source: str) -> Source:
    """Takes a source string apart; touches no file.

    Raises:
      InputError: an unknown kind, a missing path, an unknown or malformed option.
    """
    text = source.strip()
    head, _, query = text.rpartition("?") if "?" in text else (text, "", None)
    kind, _, place = head.partition(":")
    if kind not in FAMILIES:
        close = difflib.get_close_matches(kind, FAMILIES, n=1)
        meant = close[0] if close else ""
        if path := _as_path(head):
            meant = path + (f"?{query}" if query else "")
        hint = f" (did you mean {meant!r}?)" if meant else ""
        raise InputError(f"unknown data source {text!r}{hint}; a source is one of: {FORMS}")
    if kind not in embedded.PLACES and not place:
        raise InputError(f"data source {text!r} does not say where; a source is one of: {FORMS}")
    if kind in embedded.PLACES and place not in embedded.PLACES[kind]:
        choices = ", ".join(f"{kind}:{p}" if p else kind for p in embedded.PLACES[kind])
        raise InputError(f"unknown data source {text!r}; known: {choices}")
    return Source(text, kind, place, **({} if query is None else _options(text, kind, query)))


def _as_path(text: str) -> str:
    """The source that a bare path stands for, "" where it looks like none."""
    suffix = os.path.splitext(text)[1].lower()
    kinds = {".npz": "npz", ".txt": "list", ".mat": "mat"}
    if suffix in kinds:
        return f"{kinds[suffix]}:{text}"
    path = os.path.expanduser(text)
    return f"folder:{text}" if os.sep in text or os.path.isdir(path) else ""


def check(source: str) -> Source:
    """`parse`, and whether the path exists or the package is installed: cheap, for failing early.

    Raises:
      InputError: as `parse`, or the source is not there.
    """
    parsed = parse(source)
    FAMILIES[parsed.kind][0](parsed)
    return parsed


def load(
    source: str,
    image_size: int,
    *,
    labeled: bool = False,
    cache_dir: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    at_most: int | None = None,
    class_order: Sequence[str] = (),
) -> Dataset:
    """Reads a whole data set as (N, S, S, 3) uint8, S = image_size; the rules are in `decode`.

    Args:
      source: source string, see the head of this file.
      image_size: height and width S of the squares.
      labeled: whether the caller needs labels, and images of every class; without it, labels that
        cannot be used are left out, and `Dataset.flaw` says why.
      cache_dir: folder in which decoded arrays are cached, see `files.cache_folder`.
      progress: function called as progress(done, total) while images are decoded.
      at_most: largest number of decoded bytes; the images of a larger set are `lazy.LazyImages`.
      class_order: names of class folders in the order in which a run numbered them, where folders
        were in another order then; it stands for `classes=`, too.

    Raises:
      InputError: the source is wrong, missing, empty or corrupt (the file is named), or it has no
        usable labels although `labeled` or `classes=` needs them.
    """
    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < 1:
        raise InputError(f"image_size must be a whole number of at least 1, got {image_size!r}")
    parsed = check(source)
    if isinstance(parsed.resize, int) and parsed.resize < image_size:
        raise InputError(
            f"{parsed.text!r}: resize={parsed.resize} is smaller than image_size {image_size}"
        )
    try:
        listing = _opened(parsed, image_size, cache_dir)
        selection = select(parsed, listing, labeled=labeled, class_order=class_order)
        return _load(parsed, selection, image_size, cache_dir, progress, at_most)
    except OSError as error:
        raise InputError(f"cannot read {parsed.text!r}: {error}") from error


class LazySet(NamedTuple):
    """A data set whose images are made as they are needed, for sets that do not fit into memory.

    labels, class_names, names, flaw, passed_over, skipped: as in `Dataset`. `identity` changes
    whenever the images do. `blocks()` yields the images in order as uint8 (n, S, S, 3), and
    `blocks(part)` those of a slice; `image(i)` is one.
    """

    labels: np.ndarray | None
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    identity: str
    blocks: Callable[..., Iterator[np.ndarray]]
    image: Callable[[int], np.ndarray]
    flaw: str = ""
    passed_over: str = ""
    skipped: int = 0


def lazy_set(
    source: str,
    size: int,
    transform: Callable[..., np.ndarray],
    *,
    labeled: bool = False,
    cache_dir: str | None = None,
) -> LazySet:
    """A data set cut to squares in a way of the caller's own; the option `resize` has no effect.

    Args:
      source: source string, see the head of this file.
      size: height and width S of the squares.
      transform: function from a PIL image or (H, W, 3) uint8 array to (S, S, 3) uint8; called in
        threads.
      labeled, cache_dir: arguments of `load`.

    Raises:
      InputError: as `load`; an image that cannot be read is named when its block is made.
    """
    parsed = check(source)
    try:
        listing = _opened(parsed, size, cache_dir)
        selection = select(parsed, listing, labeled=labeled)
        selection, skipped = unreadable.left_out(parsed, selection, cache_dir)
        _, indices, labels, class_names, flaw = selection
        if listing.identity is not None:
            identity = listing.identity(indices)
        else:  # such sources are arrays in memory
            identity = content_sha256(listing.pixels[indices], None)
    except OSError as error:
        raise InputError(f"cannot read {parsed.text!r}: {error}") from error
    names = selection.names

    def blocks(part: slice | None = None) -> Iterator[np.ndarray]:
        wanted = indices if part is None else indices[part]
        return decode.blocks(listing.image, listing.names, wanted, size, transform=transform)

    def image(i: int) -> np.ndarray:
        return decode.made(listing.image, indices[i], names[i], transform)

    rest = (flaw, listing.passed_over, skipped)
    return LazySet(labels, class_names, names, identity, blocks, image, *rest)


def _opened(parsed: Source, size: int, cache_dir: str | None) -> Listing:
    """The listing of a source; with `exif=ignore`, of images as their pixels lie."""
    listing = FAMILIES[parsed.kind][1](parsed, size, cache_dir)
    if parsed.exif is None or listing.identity is None:
        return listing

    def refused(_):
        raise InputError(f"{parsed.text!r}: exif=ignore is for sets that are evaluated")

    return listing._replace(
        image=lambda i: as_stored(listing.image(i)),
        identity=lambda indices: f"exif=ignore {listing.identity(indices)}",
        encoded=listing.encoded and refused,
    )


def names(source: str, cache_dir: str | None = None) -> tuple[str, ...]:
    """The names of the images that `load` would return, in order; none is decoded.

    Raises:
      InputError: as `load`, except for images that cannot be read.
    """
    parsed = check(source)
    try:
        listing = _opened(parsed, 32, cache_dir)
        return select(parsed, listing).names
    except OSError as error:
        raise InputError(f"cannot read {parsed.text!r}: {error}") from error


def content_sha256(images: np.ndarray, labels: np.ndarray | None) -> str:
    """sha256 (hex) over shape, pixels and labels: equal exactly if the data are."""
    digest = hashlib.sha256(f"{images.shape} {labels is not None};".encode())
    digest.update(np.ascontiguousarray(images).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, np.int32).data)
    return digest.hexdigest()


def _load(
    parsed: Source, selection: Selection, image_size: int, cache_dir, progress, at_most
) -> Dataset:
    selection, skipped = unreadable.left_out(parsed, selection, cache_dir)
    listing, indices, labels, class_names, flaw = selection
    images: np.ndarray | lazy.LazyImages
    if at_most is not None and len(indices) * image_size**2 * 3 > at_most:
        images = lazy.LazyImages(listing, indices, image_size, parsed.resize)
        sha256 = lazy.content_sha256(listing, indices, image_size, parsed.resize, labels)
    else:
        pixels = _pixels(listing, indices, image_size, parsed.resize, cache_dir, progress)
        images, sha256 = pixels, content_sha256(pixels, labels)
    rest = (flaw, listing.passed_over, skipped)
    return Dataset(images, labels, class_names, selection.names, sha256, *rest)


def _pixels(
    listing: Listing, indices: np.ndarray, size: int, resize, cache_dir, progress
) -> np.ndarray:
    if resize is None and listing.pixels is not None and listing.pixels.shape[1:3] == (size, size):
        whole = np.array_equal(indices, np.arange(len(listing.pixels)))
        return listing.pixels if whole else listing.pixels[indices]

    def blocks():
        return decode.blocks(listing.image, listing.names, indices, size, progress, resize)

    shape = (len(indices), size, size, 3)
    if listing.identity is None:
        return cache.collect(shape, np.uint8, blocks())
    how = f"{size}" if resize is None else f"{size} resize={resize}"
    key = f"{decode.RULES} {how} {listing.identity(indices)}"
    return cache.array(key, shape, np.uint8, blocks, cache_dir)


def _options(text: str, kind: str, query: str) -> dict:
    options: dict = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        bad = InputError(f"bad option {part!r} in {text!r}; options are: {OPTIONS}")
        # A comma would end the source inside a list of OOD sets.
        if not equals or not value or name in options or "," in value:
            raise bad
        if name == "classes":
            options[name] = _classes(value, bad)
        elif name in COUNTS and re.fullmatch(r"[0-9]{1,15}", value) and int(value):
            options[name] = int(value)
        elif (name, value) in _WORDS or (name, kind) == ("root", "list") or name == "only":
            options[name] = value
        else:
            raise bad
    if {"classes", "only"} <= options.keys():
        raise InputError(f"{text!r} has both classes= and only=; give one of them")
    return options


def _classes(value: str, bad: InputError) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in value.split("+"):
        match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part)
        if not match:
            raise bad
        first, last = int(match[1]), int(match[2] or match[1])
        numbers.extend(range(first, last + 1))
        if first > last or len(set(numbers)) != len(numbers):
            raise bad
    return tuple(sorted(numbers))


def read_while_training(train: Dataset) -> bool:
    """Whether the training images stay files, cut from whole images in every step."""
    return isinstance(train.images, lazy.LazyImages)
