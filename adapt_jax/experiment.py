"""From a config to the parts of a run: checked choices, data, model, method, optimiser."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapt_jax import detector_specs, methods, models, schedules, sharding, train_state
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment, sources, suites
from adapt_jax.data.sources import Dataset
from adapt_jax.methods.base import Method
from adapt_jax.models.base import Model


class Data(NamedTuple):
    """Every image set of a run, decoded; `ood` maps each set's name to its images."""

    train: Dataset
    test: Dataset
    ood: dict[str, Dataset]
    groups: dict[str, str]


class Parts(NamedTuple):
    """What the config's choices became, for data with a given number of classes."""

    model: Model
    method: Method
    optimizer: optax.GradientTransformation
    schedule: schedules.Schedule
    augment: Callable[[jax.Array, jax.Array], jax.Array]
    dtype: Any  # of images entering the network, and of parameters


def check(config) -> None:
    """Finds every mistake that can be found without reading images.

    Raises:
      InputError: names the field, what is wrong with it and what to do.
    """
    for field in (
        "batch_size",
        "image_size",
        "views",
        "log_every",
        "checkpoint_every",
        "eval_batch_size",
    ):
        if config[field] < 1:
            raise InputError(f"config field {field} must be at least 1, got {config[field]}")
    if config.epochs < 0 or (config.total_steps or 0) < 0:
        raise InputError("config fields epochs and total_steps must not be negative")
    if config.eval_checkpoint not in ("last", "best"):
        raise InputError(f'eval_checkpoint is "last" or "best", got {config.eval_checkpoint!r}')
    mesh = sharding.make_mesh()
    sharding.check_batch(mesh, config.batch_size)
    profile_range(config)
    build(config, mesh=mesh, num_classes=2, num_images=None, mean_std=_fixed(config))
    if config.image_size < (smallest := models.SMALLEST_IMAGE[config.model.stem]):
        raise InputError(
            f"config field image_size must be at least {smallest} with the {config.model.stem} "
            f"stem, got {config.image_size}"
        )
    detector_specs.make(config.detectors)
    for source in (config.train_data, config.test_data):
        sources.check(source)
    for ood_set in ood_sets(config):
        sources.check(ood_set.source)


def prepare_workdir(workdir: str | None) -> pathlib.Path:
    """Creates the results folder and makes sure that files can be written there.

    Raises:
      InputError: none given, or it cannot be written.
    """
    if not workdir:
        raise InputError("--workdir=DIR is needed: the folder for checkpoints and results")
    path = pathlib.Path(workdir).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise InputError(
            f"--workdir {path} cannot be written ({e.strerror}); choose another folder"
        ) from None
    return path


def load_data(config, say: Callable[[str], None] = lambda text: None) -> Data:
    """Decodes every set before any long work starts.

    Args:
      config: of the run.
      say: told one line per set.

    Raises:
      InputError: names the source and what is wrong with it.
    """
    size = config.image_size
    train = sources.load(config.train_data, size, labeled=needs_labels(config))
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
    if needs_labels(config) and num_classes(train) < 2:
        raise InputError(
            f"train_data {config.train_data} has one class; training needs at least two"
        )
    if len(train.images) < config.batch_size:
        raise InputError(
            f"batch_size {config.batch_size} is larger than the training set "
            f"({len(train.images)} images); use a smaller one"
        )
    for spec, detector in detector_specs.make(config.detectors).items():
        if len(train.images) < detector.minimum_images:
            raise InputError(
                f"detector {spec!r} needs at least {detector.minimum_images} training images, "
                f"there are {len(train.images)}"
            )
    ood, groups = {}, {}
    for ood_set in ood_sets(config):
        images = sources.load(ood_set.source, size)
        ood[ood_set.name], groups[ood_set.name] = images, ood_set.group
        say(f"{ood_set.group:<6} {ood_set.name} = {ood_set.source}: {len(images.images):,} images")
    return Data(train, test, ood, groups)


def ood_sets(config) -> tuple[suites.OodSet, ...]:
    """The OOD sets the config names; none for ""."""
    return suites.resolve(config.ood) if config.ood.strip() else ()


def num_classes(train: Dataset) -> int | None:
    """C of a labelled set, whose labels are 0..C-1; None without labels."""
    return None if train.labels is None else int(train.labels.max()) + 1


def needs_labels(config) -> bool:
    """Whether the config's method learns from class labels."""
    return make_method(config, num_classes=2, num_images=None).targets == "labels"


def total_steps(config, num_images: int) -> int:
    """Optimiser steps of the whole run."""
    if config.total_steps is not None:
        return config.total_steps
    return config.epochs * train_state.steps_per_epoch(num_images, config.batch_size)


def training_mean_std(config, train: Dataset):
    """Channel mean and deviation of the training input, each a 3-tuple on the scale 0..1."""
    if _fixed(config):
        return _fixed(config)
    mean, std = augment.mean_std(train.images)
    return tuple(mean.tolist()), tuple(std.tolist())


def evaluation_mean_std(config, train: Dataset):
    """The same for evaluation, which may differ: ADAPT's official evaluation does."""
    if bool(config.eval_mean) != bool(config.eval_std):
        raise InputError("give both config fields eval_mean and eval_std, or neither")
    if config.eval_mean:
        return tuple(config.eval_mean), tuple(config.eval_std)
    return training_mean_std(config, train)


def _fixed(config):
    if bool(config.mean) != bool(config.std):
        raise InputError("give both config fields mean and std, or neither")
    return (tuple(config.mean), tuple(config.std)) if config.mean else None


def build(config, *, mesh, num_classes: int | None, num_images: int | None, mean_std) -> Parts:
    """Makes every part the config names.

    Args:
      config: of the run.
      mesh: the devices.
      num_classes: C of the training data; None without labels.
      num_images: N of the training data; None stands in while only checking.
      mean_std: of the training input; likewise.

    Raises:
      InputError: names the section of the config and what is wrong in it.
    """
    mean, std = mean_std or ((0.5,) * 3, (0.5,) * 3)
    wide = config.model.dtype == "float64"
    if wide and not jax.config.jax_enable_x64:
        raise InputError(
            "config field model.dtype float64 needs JAX_ENABLE_X64=1 in the environment"
        )
    dtype = jnp.float64 if wide else jnp.float32
    method = make_method(config, num_classes=num_classes, num_images=num_images)
    head = {"embeddings": "mlp", "logits": "linear"}[method.reads]
    model = _named(
        "model",
        models.make,
        config.model.name,
        width=config.model.width,
        blocks=tuple(config.model.blocks) or None,
        stem=config.model.stem,
        embedding_dim=config.model.embedding_dim,
        num_classes=num_classes,
        head=head,
        feature_norm=config.model.feature_norm or None,
        trainable=config.model.trainable,
        frozen_batch_norm=config.model.frozen_batch_norm,
        dtype=compute_dtype(config.model.dtype),
        conv_chunk=16 if mesh.size == 1 else None,
        remat=config.model.remat,
    )
    rate = config.optimizer
    images = num_images or config.batch_size
    schedule = _named(
        "optimizer",
        schedules.make,
        rate.schedule,
        base_lr=rate.learning_rate,
        warmup_epochs=rate.warmup_epochs,
        total_steps=total_steps(config, images),
        steps_per_epoch=train_state.steps_per_epoch(images, config.batch_size),
    )
    optimizer = train_state.sgd(
        momentum=rate.momentum, nesterov=rate.nesterov, weight_decay=rate.weight_decay
    )
    optimizer = train_state.only(optimizer, model.trainable)
    views = _named(
        "augment",
        lambda name, **kwargs: augment.make(**kwargs),
        "",
        image_size=config.image_size,
        mean=mean,
        std=std,
        views=config.views,
        dtype=dtype,
        **config.augment,
    )
    return Parts(model, method, optimizer, schedule, views, dtype)


def build_for(config, mesh, train: Dataset) -> Parts:
    """`build` for a loaded training set."""
    return build(
        config,
        mesh=mesh,
        num_classes=num_classes(train),
        num_images=len(train.images),
        mean_std=training_mean_std(config, train),
    )


def make_method(config, *, num_classes: int | None, num_images: int | None) -> Method:
    """The config's method for training data of that many classes and images, where known.

    Raises:
      InputError: an unknown method, or what is wrong with a hyper-parameter.
    """

    def make(name, **kwargs):
        if "num_images" in methods.parameters(name):
            kwargs.setdefault("num_images", num_images)
        return methods.make(name, **kwargs)

    return _named(
        "method",
        make,
        config.method.name,
        num_classes=num_classes,
        feature_dim=config.model.embedding_dim,
        **config.method.params,
    )


def profile_range(config) -> tuple[int, int] | None:
    """The steps (first, last + 1) to trace, or None.

    Raises:
      InputError: the field is not START:STOP.
    """
    if not config.profile:
        return None
    start, _, stop = str(config.profile).partition(":")
    if not (start.isdigit() and stop.isdigit() and int(start) < int(stop)):
        raise InputError(f'config field profile must be "START:STOP", got {config.profile!r}')
    return int(start), int(stop)


def compute_dtype(name: str) -> str:
    """The network's compute dtype for a config's model.dtype."""
    if name == "auto":
        return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return "float32" if name == "float64" else name  # float32 follows its input's precision


def _named(section: str, make: Callable, name: str, **kwargs):
    """Calls a factory; its complaints become one sentence that names the config's section."""
    try:
        return make(name, **kwargs)
    except (TypeError, ValueError) as e:
        raise InputError(f"config section {section}: {e}") from e


def host(tree):
    """A tree of device arrays as NumPy arrays."""
    return jax.tree.map(np.asarray, tree)
