"""Image sources -> CLIP's own preprocessing -> embeddings, one cached file per set.

Pillow cuts the images in threads, block by block, so that no set has to fit into memory; they go to
the devices as uint8 and are normalised there.
"""

import hashlib
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from adapt_jax import clip
from adapt_jax.clip.preprocess import VARIANTS
from adapt_jax.core.errors import InputError
from adapt_jax.data import decode, sources, suites
from adapt_jax.data.set_names import ID, SHIFTED
from adapt_jax.inference import feature_cache
from adapt_jax.text_bank import class_names
from adapt_jax.zero_shot import noise_images
from adapt_jax.zero_shot.encoder import Encoder

DATA = "data"  # class_names that come with test_data


class ImageSet(NamedTuple):
    """A set as zero-shot detectors see it.

    embeddings (N, D) unit rows; labels (N,) int32 or None; names, one per image; `images(i)` is
    image i for the report, None where there are only embeddings.
    """

    embeddings: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...]
    images: Callable[[int], np.ndarray] | None = None

    def take(self, indices: np.ndarray) -> "ImageSet":
        """Some of the images."""
        return ImageSet(
            self.embeddings[indices],
            None if self.labels is None else self.labels[indices],
            tuple(self.names[i] for i in indices),
            None if self.images is None else lambda i: self.images(indices[i]),
        )


class _Images(NamedTuple):
    """What `feature_cache.cached` wants to know of a data set."""

    images: Any
    labels: np.ndarray | None


def plan(config) -> suites.Suite:
    """The sets of a config: `id_test` and, in `sets`, those to be told from it.

    Covariate-shifted sets are among them in a full-spectrum evaluation only.

    Raises:
      InputError: there is no ID set, or no OOD set, or full_spectrum without shifted sets.
    """
    found = suites.resolve(config.ood)
    if not found.id_test.source:
        found = found._replace(id_test=suites.Expected(config.test_data))
    if not found.id_test.source:
        raise InputError("config field test_data is empty; name the source of the ID images")
    kept = tuple(s for s in found.sets if config.full_spectrum or s.group != SHIFTED)
    groups = {s.group for s in kept}
    if not groups - {SHIFTED}:
        raise InputError("config field ood names no OOD set")
    if config.full_spectrum and SHIFTED not in groups:
        raise InputError(
            f"full_spectrum needs covariate-shifted ID sets, {SHIFTED}/name=source; there are none"
        )
    return found._replace(sets=kept)


def check(config) -> None:
    """Raises InputError if a source is not there, or says how images are cut; reads no image."""
    found = plan(config)
    for source in (found.id_test.source, *(s.source for s in found.sets)):
        parsed = sources.check(source)
        if parsed.resize is not None and not found.name:
            raise InputError(
                f"{source!r}: resize= has no effect under CLIP's preprocessing; leave it out and "
                "set --config.preprocess.resize"
            )
    if config.preprocess.variant not in ("auto", *VARIANTS):
        raise InputError(
            f"unknown preprocess.variant {config.preprocess.variant!r}; known: auto, "
            f"{', '.join(VARIANTS)}"
        )


def cut(config, model: clip.Model) -> partial:
    """The preprocessing of a config: image -> (S, S, 3) uint8.

    Raises:
      InputError: `resize` is smaller than the model's images.
    """
    size = model.image_size
    variant = config.preprocess.variant
    variant = model.architecture.preprocessing if variant == "auto" else variant
    resize = config.preprocess.resize or size
    if resize < size:
        raise InputError(
            f"config field preprocess.resize is {resize}, the model takes images of {size}; give "
            f"{size} or more, or 0"
        )
    return partial(clip.pixels_uint8, size=size, variant=variant, resize=resize)


def open_sets(
    config, transform: partial, say: Callable[[str], None]
) -> tuple[dict[str, sources.Stream], dict[str, str]]:
    """Every set by name, "id" first, and the group of the others; no image is decoded.

    Args:
      config: of the job.
      transform: from `cut`.
      say: told one line per set.

    Raises:
      InputError: a source is wrong, or has another number of images than its protocol.
    """
    found = plan(config)
    wanted = (suites.OodSet("", ID, *found.id_test), *found.sets)
    opened = {}
    for one in wanted:
        stream = sources.stream(one.source, transform.keywords["size"], transform)
        suites.check_count(one, len(stream.names), found.name)
        opened[one.name] = stream
        say(f"{one.group or 'ID':<6} {one.name} = {one.source}: {len(stream.names):,} images")
    return opened, {one.name: one.group for one in found.sets}


def names_of_classes(
    config,
    id_set: sources.Stream | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[str, ...]:
    """The names of the ID classes, those of `test_data?classes=` only.

    Args:
      config: of the job.
      id_set: the ID test set, once it is open; before, () for names that it brings.
      say: told of codes beside the names, which are left out.

    Raises:
      InputError: no such list, or it does not fit the ID test set.
    """
    source = plan(config).id_test.source
    if config.class_names == DATA:
        if id_set is None:
            return ()
        if not id_set.class_names:
            raise InputError(f"{source} has no class names; give class_names a file of them")
        return class_names.words(id_set.class_names, say)
    names = class_names.load(config.class_names, say)
    picked = sources.parse(source).classes
    if picked is not None and len(picked) < len(names) and picked[-1] < len(names):
        names = tuple(names[c] for c in picked)
    if id_set is not None and id_set.labels is not None and len(id_set.class_names) != len(names):
        raise InputError(
            f"{source} has {len(id_set.class_names)} classes, class_names {config.class_names} has "
            f"{len(names)} names; there must be one per class, in order"
        )
    return names


def embed(
    config,
    opened: dict[str, sources.Stream],
    transform: partial,
    encoder: Encoder,
    workdir: pathlib.Path,
    watch: Callable | None = None,
) -> dict[str, ImageSet]:
    """Every set's embeddings, from WORKDIR/features or network.

    Args:
      config: of the job.
      opened: from `open_sets`.
      transform: from `cut`.
      encoder: the CLIP.
      workdir: of the job.
      watch: profiles the passes of CLIP; files are then written, not read.

    Raises:
      InputError: an image cannot be read; it is named.
    """
    how = " ".join(f"{k}={v}" for k, v in sorted(transform.keywords.items()))
    sets = {}
    for name, stream in opened.items():
        text = f"{encoder.fingerprint} {decode.RULES} {how} {stream.stamp}"
        key = hashlib.sha256(text.encode()).hexdigest()

        def run(stream, name=name):
            count = len(stream.names)
            rows = encoder.images(stream.blocks(), count, config.image_batch_size, name, watch)
            return {"embeddings": rows}

        path = feature_cache.path_of(pathlib.Path(workdir) / "features", name, key)
        found = _Images(stream, stream.labels)
        arrays = feature_cache.cached(path, key, found, run, anew=watch is not None)
        sets[name] = ImageSet(arrays["embeddings"], stream.labels, stream.names, stream.image)
    return sets


def embed_noise(config, encoder: Encoder, workdir: pathlib.Path) -> np.ndarray:
    """Embeddings of TANL's noise images (15, D), from WORKDIR/features or network.

    Args:
      config: of the job.
      encoder: the CLIP.
      workdir: of the job.
    """
    images = noise_images.make(encoder.model.image_size)
    key = hashlib.sha256(f"{encoder.fingerprint} noise".encode()).hexdigest()

    def run(images):
        rows = encoder.images([images], len(images), config.image_batch_size, "noise")
        return {"embeddings": rows}

    path = feature_cache.path_of(pathlib.Path(workdir) / "features", "noise", key)
    return feature_cache.cached(path, key, _Images(images, None), run)["embeddings"]
