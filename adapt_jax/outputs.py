"""From a run's folder to what its network says about every image set, from cache or network."""

import pathlib

import jax
import numpy as np

from adapt_jax import (
    checkpoints,
    experiment,
    exported,
    extract,
    image_scores,
    inputs,
    scoring,
    sharding,
)
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment
from adapt_jax.detectors import Head, Outputs
from adapt_jax.inputs import Data
from adapt_jax.methods.base import Method
from adapt_jax.train_state import TrainState, create


def task(config, data: Data, parts, mesh, state: TrainState, arrays) -> scoring.Task:
    """What detectors are given: outputs of every set, the head, and the network for gradients.

    Args:
      config: of the run.
      data: every image set.
      parts: from `experiment.build`.
      mesh: the devices.
      state: the trained state.
      arrays: from `network_outputs`.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    head = parts.model.classifier(variables)
    train = training_outputs(arrays["train"], parts.method, state.method_state)
    sets = {name: as_outputs(found) for name, found in arrays.items() if name != "train"}
    images = {name: dataset.images for name, dataset in data.evaluated().items()}
    if scoring.VAL not in sets:  # the job has said so
        sets[scoring.VAL], images[scoring.VAL] = train, data.train.images
    on_images = None
    if head is not None:
        on_images = image_scores.make(
            experiment.in_float32(config, mesh, data.train).model,
            variables,
            experiment.evaluation_mean_std(config, data.train),
            mesh,
            config.eval_batch_size,
            images,
        )
    head = head and Head(*map(np.asarray, head))
    return scoring.Task(train, head, sets, data.groups, on_images)


def network_outputs(config, workdir, data, parts, mesh, variables, checkpoint, say, watch=None):
    """The outputs of every set of `data.evaluated()` by name, from cache or network.

    Args:
      config: of the run.
      workdir: its folder; the cache is in `features/`.
      data: every image set.
      parts: from `experiment.build`.
      mesh: the devices.
      variables: of the network.
      checkpoint: their digest.
      say: told which set is being read.
      watch: profiles the passes, see `extract.make`; the cache is then written, not read.
    """
    mean_std = experiment.evaluation_mean_std(config, data.train)
    normalize = augment.make_normalize(*mean_std, dtype=parts.dtype)
    batch_size = config.eval_batch_size
    run = extract.make(parts.model, variables, normalize, mesh, batch_size, watch)
    dtype = experiment.compute_dtype(config.model.dtype)
    outputs, keys = {}, {}
    for name, dataset in data.evaluated().items():

        def read(images, name=name):
            say(f"network: {name}, {len(images):,} images")
            return run(images)

        path = extract.path_of(pathlib.Path(workdir) / "features", name, checkpoint)
        key = extract.key(checkpoint, dataset, mean_std, dtype)
        outputs[name] = extract.cached(path, key, dataset, read, anew=watch is not None)
        keys[name] = key
    extract.remember(pathlib.Path(workdir) / "features", checkpoint, keys, _sources(config), dtype)
    return outputs


def _sources(config) -> dict[str, str]:
    """Where the ID sets come from, by the name they have in files."""
    plan = inputs.suite(config)
    return {
        "train": config.train_data,
        scoring.ID: plan.id_test.source,
        scoring.VAL: plan.id_val.source,
    }


def as_outputs(arrays: extract.Arrays) -> Outputs:
    """What detectors see of a set."""
    return Outputs(arrays["features"], arrays.get("logits"), arrays.get("labels"))


def training_outputs(arrays: extract.Arrays, method: Method, method_state) -> Outputs:
    """What detectors are fitted on: labels, or the clusters of a method that finds its own.

    Clusters are numbered without gaps. Before the first clustering all images are in one.
    """
    outputs = as_outputs(arrays)
    assignment = getattr(method_state, "assignment", None)
    if method.targets == "indices" and assignment is not None:
        _, clusters = np.unique(np.asarray(assignment), return_inverse=True)
        outputs = outputs._replace(labels=clusters.astype(np.int32))
    return outputs


def restore(config, workdir, parts, mesh) -> TrainState:
    """The state the config evaluates: the last checkpoint or the best; of an export, its only one.

    Raises:
      InputError: the run has no checkpoint, or one of another shape.
    """
    if exported.is_export(pathlib.Path(workdir)):
        return exported.restore(pathlib.Path(workdir), _abstract_state(config, parts, mesh), mesh)
    store = checkpoints.Checkpoints(workdir, cleanup=False)
    try:
        best = config.eval_checkpoint == "best"
        step = store.best_step() if best else store.latest_step()
        if step is None:
            raise InputError(f"{workdir} has no checkpoint yet; train it first")
        return store.restore(step, _abstract_state(config, parts, mesh))
    finally:
        store.close()


def _abstract_state(config, parts, mesh):
    shape = (config.image_size, config.image_size, 3)
    like = jax.eval_shape(
        lambda: create(
            jax.random.key(0), parts.model, parts.method, parts.optimizer, shape, parts.dtype
        )
    )
    place = sharding.replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), like)


def joined(parts: list[Outputs]) -> Outputs:
    """Outputs of several sets as of one; logits and labels where all have them."""

    def rows(field):
        arrays = [getattr(p, field) for p in parts]
        return None if any(a is None for a in arrays) else np.concatenate(arrays)

    return Outputs(*map(rows, Outputs._fields))
