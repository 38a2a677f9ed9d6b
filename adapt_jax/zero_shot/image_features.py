"""Image sources -> CLIP's own preprocessing -> embeddings, one cached file per set.

Pillow cuts the images in threads, block by block, so that no set has to fit into memory; they go to
the devices as uint8 and are normalised there.
"""

import hashlib
import pathlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from adapt_jax import clip
from adapt_jax.clip.preprocess import VARIANTS
from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded
from adapt_jax.data import classes, decode, feature_folders, sources, suites
from adapt_jax.data.base import note
from adapt_jax.data.classes import Classes
from adapt_jax.data.set_names import ID, SHIFTED
from adapt_jax.inference import feature_cache
from adapt_jax.inference.clip_encoder import Encoder
from adapt_jax.text_bank import class_names

DATA = "data"  # class_names that come with test_data
FEATURES = "features"  # the folder in that of a run


class ImageSet(NamedTuple):
    """A set as zero-shot detectors see it.

    embeddings (N, D) unit rows; labels (N,) int32 or None; names, one per image; `images(i)` is
    image i for the report, None where there are only embeddings; file that keeps the embeddings of
    the whole set, relative to the job's folder, "" where none does.
    """

    embeddings: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...]
    images: Callable[[int], np.ndarray] | None = None
    file: str = ""

    def take(self, indices: np.ndarray) -> "ImageSet":
        """Some of the images."""
        return ImageSet(
            self.embeddings[indices],
            None if self.labels is None else self.labels[indices],
            tuple(self.names[i] for i in indices),
            None if self.images is None else lambda i: self.images(indices[i]),
            self.file,
        )


class _Images(NamedTuple):
    """What `feature_cache.cached` wants to know of a data set."""

    images: Any
    labels: np.ndarray | None


class Preprocessing(NamedTuple):
    """How images are cut for CLIP.

    variant: one of `clip.preprocess.VARIANTS`; "auto" is that of the model's own library.
    resize: what the shorter side becomes before the middle is cut out; 0: the model's size.
    """

    variant: str = "auto"
    resize: int = 0


def suite(ood: str, test_data: str, full_spectrum: bool) -> suites.Suite:
    """The sets of an evaluation: `id_test` and, in `sets`, those to be told from it.

    Args:
      ood: name of a suite, or "group/name=source,...".
      test_data: source of the ID images; "" where the suite fixes it.
      full_spectrum: whether covariate-shifted sets count as ID; else they are left out.

    Raises:
      InputError: there is no ID set or there are two, or no OOD set, or full_spectrum without
        shifted sets.
    """
    protocol = suites.resolve(ood)
    if protocol.id_test.source and test_data:
        raise InputError(f"config field test_data has no effect here: {fixed_by(protocol)}")
    if not protocol.id_test.source:
        protocol = protocol._replace(id_test=suites.Expected(test_data))
    if not protocol.id_test.source:
        raise InputError("config field test_data is empty; name the source of the ID images")
    kept = tuple(s for s in protocol.sets if full_spectrum or s.group != SHIFTED)
    groups = {s.group for s in kept}
    if not groups - {SHIFTED}:
        raise InputError("config field ood names no OOD set")
    if full_spectrum and SHIFTED not in groups:
        raise InputError(
            f"full_spectrum needs covariate-shifted ID sets, {SHIFTED}/name=source; there are none"
        )
    return protocol._replace(sets=kept)


def fixed_by(protocol: suites.Suite) -> str:
    """Why the test_data of a config is not used."""
    return (
        f"suite {protocol.name} fixes the ID test set, {protocol.id_test.source}; name the OOD "
        "sets themselves in ood to evaluate another"
    )


def check(sets: suites.Suite, preprocessing: Preprocessing) -> None:
    """Raises InputError if a source is not there, or says how images are cut; reads no image."""
    for source in (sets.id_test.source, *(s.source for s in sets.sets)):
        parsed = sources.check(source)
        if parsed.resize is not None and not sets.name:
            raise InputError(
                f"{source!r}: resize= has no effect under CLIP's preprocessing; leave it out and "
                "set --config.preprocess.resize"
            )
    if preprocessing.variant not in ("auto", *VARIANTS):
        raise InputError(
            f"unknown preprocess.variant {preprocessing.variant!r}; known: auto, "
            f"{', '.join(VARIANTS)}"
        )


def cut(preprocessing: Preprocessing, model: clip.Model) -> partial:
    """The preprocessing for a model: image -> (S, S, 3) uint8.

    Raises:
      InputError: `resize` is smaller than the model's images.
    """
    size = model.image_size
    variant, resize = preprocessing.variant, preprocessing.resize
    if variant == "auto":
        variant, resize = model.architecture.preprocessing, resize or model.architecture.resize
    resize = resize or size
    if resize < size:
        raise InputError(
            f"config field preprocess.resize is {resize}, the model takes images of {size}; give "
            f"{size} or more, or 0"
        )
    return partial(clip.pixels_uint8, size=size, variant=variant, resize=resize)


def open_sets(
    sets: suites.Suite, transform: partial, report_progress: Callable[[str], None]
) -> tuple[dict[str, sources.LazySet], dict[str, str]]:
    """Every set by name, "id" first, and the group of the others; no image is decoded.

    Args:
      sets: the sets, from `suite`.
      transform: function that prepares an image, from `cut`.
      report_progress: function called with one line per set.

    Raises:
      InputError: a source is wrong, or has another number of images than its protocol.
    """
    wanted = (suites.OodSet("", ID, *sets.id_test), *sets.sets)
    opened = {}
    for one in wanted:
        lazy_set = sources.lazy_set(one.source, transform.keywords["size"], transform)
        suites.check_count(one, len(lazy_set.names) + lazy_set.skipped, sets.name)
        opened[one.name] = lazy_set
        count = f"{len(lazy_set.names):,} images{note(lazy_set.passed_over, lazy_set.skipped)}"
        report_progress(f"{one.group or 'ID':<6} {one.name} = {one.source}: {count}")
    return opened, {one.name: one.group for one in sets.sets}


def listed_classes(
    place: str, id_source: str, report_progress: Callable[[str], None]
) -> Classes | None:
    """The ID classes by a list of names, those of `id_source?classes=` only.

    Args:
      place: source of the list, see `class_names.load`; "data" for the names of the ID test set.
      id_source: source of the ID test set.
      report_progress: function called with a line about codes beside the names, which are left out.

    Returns:
      None where the ID test set brings the names.

    Raises:
      InputError: there is no such list, or it has no name for a class.
    """
    if place == DATA:
        return None
    names, picked = class_names.load(place, report_progress), sources.parse(id_source).classes
    if picked is not None and len(picked) != len(names):
        if picked[-1] >= len(names):
            raise InputError(
                f"{id_source} asks for class {picked[-1]}, class_names {place} has {len(names)} "
                f"names, 0 to {len(names) - 1}"
            )
        names = tuple(names[c] for c in picked)
    return classes.named(names, f"class_names {place}", picked, worded=True)


class Labelled(NamedTuple):
    """Opened sets whose labels are numbers of the ID classes.

    class_names: what prompts call the ID classes. opened: the sets by name. rules: how the labels
    of each ID set were matched with the classes, see `data.classes`.
    """

    class_names: tuple[str, ...]
    opened: dict[str, sources.LazySet]
    rules: dict[str, str]


def labelled(
    listed: Classes | None,
    sets: suites.Suite,
    opened: Mapping[str, sources.LazySet],
    report_progress: Callable[[str], None],
) -> Labelled:
    """Matches the labels of all ID sets with the ID classes, now that the sets are open.

    Args:
      listed: the listed classes, from `listed_classes`.
      sets: the sets, from `suite`.
      opened: the opened sets, from `open_sets`.
      report_progress: function called with a line about codes beside the names, which are left out,
        and about the rule for every ID set.

    Raises:
      InputError: the ID test set brings no names, or a set has labels of other classes.
    """
    source, id_set = sets.id_test.source, opened[ID]
    own, names = listed, () if listed is None else listed.names
    if own is None:
        if not id_set.class_names:
            lacking = id_set.flaw or "has no class names; give class_names a file of them"
            raise InputError(f"{source} {lacking}")
        names = class_names.words(id_set.class_names, report_progress)
        picked = sources.parse(source).classes
        own = classes.named(id_set.class_names, f"test_data {source}", picked)
    places = {ID: source} | {s.name: s.source for s in sets.sets if s.group == SHIFTED}
    numbered, rules = dict(opened), {}
    for name, place in places.items():
        lazy_set = opened[name]
        labels, rule, aliases = classes.match(
            place, lazy_set.labels, lazy_set.class_names, own, lazy_set.flaw
        )
        rules[name], numbered[name] = rule, lazy_set._replace(labels=labels)
        report_progress(f"{name}: {rule}")
        if name == ID:
            _check_suite(sets.name, own, labels, f"{place}: {rule}")
            own = own._replace(aliases=(aliases,) if aliases else ())
    return Labelled(names, numbered, rules)


def _check_suite(suite: str, own: Classes, labels: np.ndarray | None, why: str) -> None:
    """Raises InputError if the ID test set of a suite has labels, and not of every class."""
    if suite and labels is not None and len(np.unique(labels)) < len(own.names):
        raise InputError(f"suite {suite} has other classes than {own.owner} ({why})")


def embed(
    opened: dict[str, sources.LazySet],
    transform: partial,
    encoder: Encoder,
    batch_size: int,
    workdir: pathlib.Path,
    profile: Callable | None = None,
) -> dict[str, ImageSet]:
    """Every set's embeddings, from WORKDIR/features or network.

    Args:
      opened: the opened sets, from `open_sets`.
      transform: function that prepares an image, from `cut`.
      encoder: the CLIP encoder.
      batch_size: number of images per pass over all devices.
      workdir: folder of the job.
      profile: function that profiles the passes of CLIP; files are then written, not read.

    Raises:
      InputError: an image cannot be read; it is named.
    """
    how = " ".join(f"{k}={v}" for k, v in sorted(transform.keywords.items()))
    sets = {}
    for name, lazy_set in opened.items():
        text = f"{encoder.sha256} {decode.RULES} {how} {lazy_set.identity}"
        key = hashlib.sha256(encoded(text)).hexdigest()

        def run(lazy_set, name=name):
            rows = encoder.images_shared(
                lazy_set.blocks, len(lazy_set.names), batch_size, name, profile
            )
            return {"embeddings": rows}

        path = feature_cache.path_of(pathlib.Path(workdir) / FEATURES, name, key)
        images = _Images(lazy_set, lazy_set.labels)
        arrays = feature_cache.cached(path, key, images, run, anew=profile is not None)
        file = f"{FEATURES}/{path.name}"
        sets[name] = ImageSet(
            arrays["embeddings"], lazy_set.labels, lazy_set.names, lazy_set.image, file
        )
    return sets


def kept(name: str, image_set: ImageSet, workdir: pathlib.Path) -> ImageSet:
    """A set whose embeddings were made elsewhere, with a copy of them in WORKDIR/features."""
    key = feature_folders.sha256([(name, image_set.embeddings)])
    path = feature_cache.path_of(pathlib.Path(workdir) / FEATURES, name, key)
    content = {"embeddings": image_set.embeddings}
    feature_cache.cached(path, key, _Images(None, image_set.labels), lambda images: content)
    return image_set._replace(file=f"{FEATURES}/{path.name}")
