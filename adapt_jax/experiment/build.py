"""From a config to the parts of a run: network, method, optimiser, schedule, augmentation."""

from collections.abc import Callable

import jax.numpy as jnp

from adapt_jax import methods, models
from adapt_jax.core import generator
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment
from adapt_jax.experiment import derived
from adapt_jax.methods.base import Method
from adapt_jax.models import wrapped
from adapt_jax.models.base import Model
from adapt_jax.training import optimizers, schedules
from adapt_jax.training.parts import Parts


def make_parts(
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
      config: the run's config.
      mesh: the devices; convolutions are computed differently on one device and on several.
      num_classes: number of classes of the training data; None without labels.
      num_images: number of training images; None while the config is only checked.
      mean_std: channel means and deviations that training normalises images with; None while the
        config is only checked.
      cropped: whether the host crops the training images.

    Raises:
      InputError: names the section of the config and what is wrong in it.
    """
    mean, std = mean_std or ((0.5,) * 3, (0.5,) * 3)
    wide = config.model.dtype == "float64"
    if wide:
        generator.use_double_precision()
    dtype = jnp.float64 if wide else jnp.float32
    method = make_method(config, num_classes=num_classes, num_images=num_images)
    model = _model(config, mesh, method, num_classes)
    rate = config.optimizer
    plan = derived.plan_of(config, num_images or config.batch_size)
    schedule = in_section(
        "optimizer",
        schedules.make,
        rate.schedule,
        base_lr=rate.learning_rate,
        warmup_epochs=rate.warmup_epochs,
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
    )
    optimizer = optimizers.sgd(
        momentum=rate.momentum, nesterov=rate.nesterov, weight_decay=rate.weight_decay
    )
    optimizer = optimizers.only(optimizer, model.trainable)
    views = in_section(
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


def _model(config, mesh, method: Method, num_classes: int | None) -> Model:
    """The config's network: one of `models`, or one that was made elsewhere."""
    if wrapped.is_own(config.model.name):
        return wrapped.find(config.model.name).model
    return in_section(
        "model",
        models.make,
        config.model.name,
        width=config.model.width,
        blocks=tuple(config.model.blocks) or None,
        stem=config.model.stem,
        embedding_dim=config.model.embedding_dim,
        num_classes=num_classes,
        head={"embeddings": "mlp", "logits": "linear"}[method.reads],
        feature_norm=config.model.feature_norm or None,
        trainable=config.model.trainable,
        frozen_batch_norm=config.model.frozen_batch_norm,
        dtype=derived.compute_dtype(config.model.dtype),
        conv_chunk=16 if mesh.size == 1 else None,
        remat=config.model.remat,
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

    return in_section(
        "method",
        make,
        config.method.name,
        num_classes=num_classes,
        feature_dim=config.model.embedding_dim,
        **config.method.params,
    )


def in_section(section: str, make: Callable, name: str, **kwargs):
    """Calls a factory; its complaints become one sentence that names the config's section."""
    try:
        return make(name, **kwargs)
    except (TypeError, ValueError) as e:
        raise InputError(f"config section {section}: {e}") from e
