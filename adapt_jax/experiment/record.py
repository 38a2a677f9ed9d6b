"""One run, made once from its config; training, evaluation and prediction work with it."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from adapt_jax.data import sources
from adapt_jax.experiment import build, derived, image_sets
from adapt_jax.experiment.derived import MeanStd
from adapt_jax.experiment.image_sets import Data
from adapt_jax.models.base import Model
from adapt_jax.runtime import sharding
from adapt_jax.training.parts import Parts
from adapt_jax.training.plan import Plan


class Experiment(NamedTuple):
    """A run and everything that was made for it.

    config: of the run. mesh: the devices.
    parts: network, method, optimiser, schedule and augmentation. plan: how long it trains.
    facts: what data.json holds of the training images.
    train_mean_std: what training normalises images with.
    data: the image sets; None where a run is used without its images.
    """

    config: ConfigDict
    mesh: Mesh
    parts: Parts
    plan: Plan
    facts: Mapping[str, Any]
    train_mean_std: MeanStd
    data: Data | None = None

    @property
    def eval_mean_std(self) -> MeanStd:
        """What evaluation normalises images with."""
        return tuple(self.facts["mean"]), tuple(self.facts["std"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of an image that enters the network."""
        return (self.config.image_size, self.config.image_size, 3)


def make(config, data: Data, mesh: Mesh | None = None) -> Experiment:
    """The experiment of a config whose image sets are loaded.

    Args:
      config: the run's config, checked.
      data: the run's image sets, from `checks.load_data`.
      mesh: the devices; all of them by default.

    Raises:
      InputError: names the section of the config and what is wrong in it.
    """
    mesh, train = mesh or sharding.make_mesh(), data.train
    train_mean_std = derived.mean_std(config, train)
    evaluation = derived.mean_std(config, evaluation=True) or train_mean_std
    parts = build.make_parts(
        config,
        mesh=mesh,
        num_classes=image_sets.num_classes(train),
        num_images=len(train.images),
        mean_std=train_mean_std,
        cropped=sources.read_while_training(train),
    )
    plan = derived.plan_of(config, len(train.images))
    facts = derived.data_facts(train, evaluation)
    return Experiment(config, mesh, parts, plan, facts, train_mean_std, data)


def recall(config, facts: Mapping[str, Any]) -> Experiment:
    """The experiment of a run whose training images are known by their facts only.

    Args:
      config: the run's config.
      facts: content of the run's data.json.
    """
    mesh = sharding.make_mesh()
    mean_std = tuple(facts.get("mean", ())), tuple(facts.get("std", ()))
    parts = build.make_parts(
        config,
        mesh=mesh,
        num_classes=facts["num_classes"],
        num_images=facts["num_images"],
        mean_std=mean_std if all(mean_std) else None,
    )
    plan = derived.plan_of(config, facts["num_images"])
    return Experiment(config, mesh, parts, plan, facts, mean_std)


def float32_model(experiment: Experiment) -> Model:
    """The experiment's network computing in float32, whatever its config says."""
    config = copy.deepcopy(experiment.config)
    config.model.dtype = "float32"
    return recall(config, experiment.facts).parts.model
