"""From a config to the parts of a run: checked choices, data, model, method, optimiser."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapt_jax import (
    boards,
    bootstrap,
    config_fields,
    detector_specs,
    inputs,
    methods,
    models,
    profiling,
    schedules,
    sharding,
    train_state,
)
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment
from adapt_jax.data.sources import Dataset
from adapt_jax.methods.base import Method
from adapt_jax.models.base import Model


class Parts(NamedTuple):
    """What the config's choices became, for data with a given number of classes."""

    model: Model
    method: Method
    optimizer: optax.GradientTransformation
    schedule: schedules.Schedule
    augment: Callable[[jax.Array, jax.Array], jax.Array]
    dtype: Any  # of images entering the network, and of parameters


def check(config, *, training: bool = True) -> None:
    """Finds every mistake that can be found without reading images.

    Args:
      config: of the run.
      training: whether it is about to train; evaluating a run puts no demands on the batch.

    Raises:
      InputError: names the field, what is wrong with it and what to do.
    """
    config_fields.check(config)
    mesh = sharding.make_mesh()
    if training:
        sharding.check_batch(mesh, config.batch_size, config.microbatches)
    profile_range(config)
    if training:
        boards.check(config.tracking)
    parts = build(config, mesh=mesh, num_classes=2, num_images=None, mean_std=_fixed(config))
    if parts.method.targets == "indices" and config.views < 2:
        raise InputError(f"{config.method.name} without labels contrasts views: views must be >= 2")
    if evaluation := _pair(config, "eval_mean", "eval_std"):
        _named("eval_mean, eval_std", lambda _: augment.make_normalize(*evaluation), "")
    if config.image_size < (smallest := models.SMALLEST_IMAGE[config.model.stem]):
        raise InputError(
            f"config field image_size must be at least {smallest} with the {config.model.stem} "
            f"stem, got {config.image_size}"
        )
    detector_specs.parse(config.detectors)
    bootstrap.check(config.bootstrap)
    inputs.check(config)


def load_data(config, say: Callable[[str], None] = lambda text: None) -> inputs.Data:
    """Decodes every set of the config before any long work starts, see `inputs.load`."""
    return inputs.load(config, make_method(config, num_classes=2, num_images=None), say)


def total_steps(config, num_images: int) -> int:
    """Optimiser steps of the whole run."""
    if config.total_steps is not None:
        return config.total_steps
    return config.epochs * train_state.steps_per_epoch(num_images, config.batch_size)


def data_facts(config, train: Dataset) -> dict[str, Any]:
    """What a run has to remember of its training images to be used without them."""
    mean, std = evaluation_mean_std(config, train)
    return {
        "train_fingerprint": train.fingerprint,
        "num_images": len(train.images),
        "num_classes": inputs.num_classes(train),
        "class_names": list(train.class_names),
        "mean": list(mean),
        "std": list(std),
    }


def training_mean_std(config, train: Dataset):
    """Channel mean and deviation of the training input, each a 3-tuple on the scale 0..1."""
    if _fixed(config):
        return _fixed(config)
    mean, std = augment.mean_std(train.images)
    return tuple(mean.tolist()), tuple(std.tolist())


def evaluation_mean_std(config, train: Dataset):
    """The same for evaluation, which may differ: ADAPT's official evaluation does."""
    return _pair(config, "eval_mean", "eval_std") or training_mean_std(config, train)


def _fixed(config):
    return _pair(config, "mean", "std")


def _pair(config, mean: str, std: str):
    if bool(config[mean]) != bool(config[std]):
        raise InputError(f"give both config fields {mean} and {std}, or neither")
    return (tuple(config[mean]), tuple(config[std])) if config[mean] else None


def build(
    config,
    *,
    mesh,
    num_classes: int | None,
    num_images: int | None,
    mean_std,
    cropped: bool = False,
) -> Parts:
    """Makes every part the config names.

    Args:
      config: of the run.
      mesh: the devices.
      num_classes: C of the training data; None without labels.
      num_images: N of the training data; None stands in while only checking.
      mean_std: of the training input; likewise.
      cropped: whether training images come as crops, from the host.

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
        cropped=cropped,
        dtype=dtype,
        **config.augment,
    )
    return Parts(model, method, optimizer, schedule, views, dtype)


def build_for(config, mesh, train: Dataset) -> Parts:
    """`build` for a loaded training set."""
    return build(
        config,
        mesh=mesh,
        num_classes=inputs.num_classes(train),
        num_images=len(train.images),
        mean_std=training_mean_std(config, train),
        cropped=inputs.read_while_training(train),
    )


def build_from(config, mesh, facts: Mapping[str, Any]) -> Parts:
    """`build` for a training set that is known by its `data_facts` only, as evaluation uses it."""
    return build(
        config,
        mesh=mesh,
        num_classes=facts["num_classes"],
        num_images=facts["num_images"],
        mean_std=(tuple(facts["mean"]), tuple(facts["std"])),
    )


def in_float32(config, mesh, train: Dataset) -> Parts:
    """`build_for` with a network that computes in float32, whatever the config says."""
    config = copy.deepcopy(config)
    config.model.dtype = "float32"
    return build_for(config, mesh, train)


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
    return profiling.steps_range(config.profile, "config field profile")


def described(config, mesh, *, evaluating: bool = False) -> dict[str, Any]:
    """What a profile says of a run's steps, or forward passes, as `profiling.Subject` wants it."""
    model = config.model
    job = f"{config.method.name} on {config.train_data}, {model.name} of width {model.width}"
    size = f"{config.batch_size} images x {config.views} views"
    return {
        "what": f"evaluating: {job}" if evaluating else f"training: {job}, {size}",
        "devices": sharding.described(mesh),
        "dtype": compute_dtype(model.dtype),
        "images": config.eval_batch_size if evaluating else config.batch_size,
    }


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
