"""Values derived from a config and its training data: length, statistics, descriptions."""

from typing import Any

import jax

from adapt_jax.config.fields import steps_range
from adapt_jax.core.checks import channel_statistics
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment
from adapt_jax.data.sources import Dataset
from adapt_jax.experiment import image_sets
from adapt_jax.models import wrapped
from adapt_jax.runtime import sharding
from adapt_jax.training.host_feed import HostInput
from adapt_jax.training.plan import Plan, steps_between_records, steps_per_epoch

MeanStd = tuple[tuple[float, ...], tuple[float, ...]]


def plan_of(config, num_images: int) -> Plan:
    """The length of a run on that many training images."""
    total = config.total_steps
    if total is None:
        total = config.epochs * steps_per_epoch(num_images, config.batch_size)
    return Plan(
        num_images=num_images,
        batch_size=config.batch_size,
        views=config.views,
        microbatches=config.microbatches,
        total_steps=total,
        log_every=steps_between_records(config.log_every, total),
        checkpoint_every=config.checkpoint_every,
    )


def host_input(config) -> HostInput:
    """How training images that stay files are read."""
    return HostInput(config.input_workers, config.prefetch, tuple(config.augment.crop_scale))


def mean_std(config, train: Dataset | None = None, *, evaluation: bool = False) -> MeanStd | None:
    """Channel mean and deviation of the network's input, each a 3-tuple on the scale 0..1.

    Args:
      config: the run's config; its fields mean and std decide, and eval_mean and eval_std in
        evaluation.
      train: the training images, which are measured where the config fixes nothing; None measures
        nothing.
      evaluation: whether the statistics are for evaluation; ADAPT's official code then uses others.

    Raises:
      InputError: the config gives one of a pair without the other, or values that cannot
        be statistics of pixels divided by 255.
    """
    pairs = [("eval_mean", "eval_std"), ("mean", "std")] if evaluation else [("mean", "std")]
    for mean, std in pairs:
        if bool(config[mean]) != bool(config[std]):
            raise InputError(f"give both config fields {mean} and {std}, or neither")
        if config[mean]:
            try:
                channel_statistics(config[mean], config[std])
            except (TypeError, ValueError) as e:
                raise InputError(f"config fields {mean} and {std}: {e}") from None
            return tuple(config[mean]), tuple(config[std])
    if train is None:
        return None
    measured = augment.mean_std(train.images)
    return tuple(measured[0].tolist()), tuple(measured[1].tolist())


def data_facts(train: Dataset, evaluation_mean_std: MeanStd) -> dict[str, Any]:
    """The facts about its training images that a run needs later, without these images.

    Args:
      train: the training images.
      evaluation_mean_std: channel means and deviations that evaluation normalises images with, see
        `mean_std`.
    """
    mean, std = evaluation_mean_std
    return {
        "train_fingerprint": train.content_sha256,
        "num_images": len(train.images),
        "num_classes": image_sets.num_classes(train),
        "class_names": list(train.class_names),
        "mean": list(mean),
        "std": list(std),
    }


def compute_dtype(name: str) -> str:
    """The network's compute dtype for a config's model.dtype."""
    if name == "auto":
        return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return "float32" if name == "float64" else name  # float32 follows its input's precision


def trained_by(config) -> str:
    """The method that trained the network, for tables and reports."""
    return "elsewhere" if wrapped.is_own(config.model.name) else config.method.name


def profile_range(config) -> tuple[int, int] | None:
    """The steps (first, last + 1) to trace, or None.

    Raises:
      InputError: the field is not START:STOP.
    """
    return steps_range(config.profile, "config field profile")


def profile_subject(config, mesh, *, evaluating: bool = False) -> dict[str, Any]:
    """The description of a run's steps, or forward passes, for its profile."""
    model = config.model
    job = f"{trained_by(config)} on {config.train_data}, {model.name} of width {model.width}"
    size = f"{config.batch_size} images x {config.views} views"
    return {
        "what": f"evaluating: {job}" if evaluating else f"training: {job}, {size}",
        "devices": sharding.described(mesh),
        "dtype": compute_dtype(model.dtype),
        "images": config.eval_batch_size if evaluating else config.batch_size,
    }
