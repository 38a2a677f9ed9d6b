"""What follows from a config and its training data: sizes, statistics, descriptions."""

from typing import Any

import jax

from adapt_jax.config.fields import steps_range
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment
from adapt_jax.data.sources import Dataset
from adapt_jax.experiment import image_sets
from adapt_jax.runtime import sharding
from adapt_jax.training import train_loop


def data_facts(config, train: Dataset) -> dict[str, Any]:
    """What a run has to remember of its training images to be used without them."""
    mean, std = evaluation_mean_std(config, train)
    return {
        "train_fingerprint": train.fingerprint,
        "num_images": len(train.images),
        "num_classes": image_sets.num_classes(train),
        "class_names": list(train.class_names),
        "mean": list(mean),
        "std": list(std),
    }


def training_mean_std(config, train: Dataset):
    """Channel mean and deviation of the training input, each a 3-tuple on the scale 0..1."""
    if fixed_mean_std(config):
        return fixed_mean_std(config)
    mean, std = augment.mean_std(train.images)
    return tuple(mean.tolist()), tuple(std.tolist())


def evaluation_mean_std(config, train: Dataset):
    """The same for evaluation, which may differ: ADAPT's official evaluation does."""
    return mean_std_pair(config, "eval_mean", "eval_std") or training_mean_std(config, train)


def fixed_mean_std(config):
    """Channel mean and deviation that the config fixes, each a 3-tuple; None where it does not."""
    return mean_std_pair(config, "mean", "std")


def mean_std_pair(config, mean: str, std: str):
    """The config's fields of these two names as 3-tuples; None where they are empty."""
    if bool(config[mean]) != bool(config[std]):
        raise InputError(f"give both config fields {mean} and {std}, or neither")
    return (tuple(config[mean]), tuple(config[std])) if config[mean] else None


def total_steps(config, num_images: int) -> int:
    """Optimiser steps of the whole run."""
    if config.total_steps is not None:
        return config.total_steps
    return config.epochs * train_loop.steps_per_epoch(num_images, config.batch_size)


def compute_dtype(name: str) -> str:
    """The network's compute dtype for a config's model.dtype."""
    if name == "auto":
        return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return "float32" if name == "float64" else name  # float32 follows its input's precision


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


def profile_range(config) -> tuple[int, int] | None:
    """The steps (first, last + 1) to trace, or None.

    Raises:
      InputError: the field is not START:STOP.
    """
    return steps_range(config.profile, "config field profile")
