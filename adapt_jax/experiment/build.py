"""From a config to the parts of a run: checked choices, data, model, method, optimiser."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from adapt_jax import methods, models
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment, sources
from adapt_jax.data.sources import Dataset
from adapt_jax.experiment import image_sets
from adapt_jax.experiment.derived import (
    compute_dtype,
    total_steps,
    training_mean_std,
)
from adapt_jax.methods.base import Method
from adapt_jax.training import optimizers, schedules, train_loop
from adapt_jax.training.parts import Parts


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
        steps_per_epoch=train_loop.steps_per_epoch(images, config.batch_size),
    )
    optimizer = optimizers.sgd(
        momentum=rate.momentum, nesterov=rate.nesterov, weight_decay=rate.weight_decay
    )
    optimizer = optimizers.only(optimizer, model.trainable)
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
        num_classes=image_sets.num_classes(train),
        num_images=len(train.images),
        mean_std=training_mean_std(config, train),
        cropped=sources.read_while_training(train),
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


def _named(section: str, make: Callable, name: str, **kwargs):
    """Calls a factory; its complaints become one sentence that names the config's section."""
    try:
        return make(name, **kwargs)
    except (TypeError, ValueError) as e:
        raise InputError(f"config section {section}: {e}") from e
