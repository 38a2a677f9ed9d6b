"""From a run's checkpoint to what detectors are given: outputs of every set."""

import pathlib
from collections.abc import Callable

import numpy as np

from adapt_jax import detectors
from adapt_jax.data import augment
from adapt_jax.data.set_names import ID, VAL
from adapt_jax.detectors import Head
from adapt_jax.evaluate import scoring, search
from adapt_jax.evaluate.scoring import Task
from adapt_jax.experiment import build, derived, image_sets
from adapt_jax.experiment.image_sets import Data
from adapt_jax.inference import feature_cache, forward, pixel_functions
from adapt_jax.inference.outputs import as_outputs, training_outputs
from adapt_jax.results.scored import Scored
from adapt_jax.training.train_state import TrainState


def make_task(config, data: Data, parts, mesh, state: TrainState, arrays) -> scoring.Task:
    """What detectors are given: outputs of every set, the head, and the network for gradients.

    Args:
      config: of the run.
      data: every image set.
      parts: from `build.build`.
      mesh: the devices.
      state: the trained state.
      arrays: from `network_outputs`.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    head = parts.model.classifier(variables)
    train = training_outputs(arrays["train"], parts.method, state.method_state)
    sets = {name: as_outputs(found) for name, found in arrays.items() if name != "train"}
    images = {name: dataset.images for name, dataset in data.evaluated().items()}
    if VAL not in sets:  # the job has said so
        sets[VAL], images[VAL] = train, data.train.images
    on_images = None
    if head is not None:
        on_images = pixel_functions.make(
            build.in_float32(config, mesh, data.train).model,
            variables,
            derived.evaluation_mean_std(config, data.train),
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
      parts: from `build.build`.
      mesh: the devices.
      variables: of the network.
      checkpoint: their digest.
      say: told which set is being read.
      watch: profiles the passes, see `forward.make`; the cache is then written, not read.
    """
    mean_std = derived.evaluation_mean_std(config, data.train)
    normalize = augment.make_normalize(*mean_std, dtype=parts.dtype)
    batch_size = config.eval_batch_size
    run = forward.make(parts.model, variables, normalize, mesh, batch_size, watch)
    dtype = derived.compute_dtype(config.model.dtype)
    outputs, keys = {}, {}
    for name, dataset in data.evaluated().items():

        def read(images, name=name):
            say(f"network: {name}, {len(images):,} images")
            return run(images)

        path = feature_cache.path_of(pathlib.Path(workdir) / "features", name, checkpoint)
        key = feature_cache.key(checkpoint, dataset, mean_std, dtype)
        outputs[name] = feature_cache.cached(path, key, dataset, read, anew=watch is not None)
        keys[name] = key
    feature_cache.remember(
        pathlib.Path(workdir) / "features", checkpoint, keys, _sources(config), dtype
    )
    return outputs


def _sources(config) -> dict[str, str]:
    """Where the ID sets come from, by the name they have in files."""
    plan = image_sets.suite(config)
    return {
        "train": config.train_data,
        ID: plan.id_test.source,
        VAL: plan.id_val.source,
    }


def score_detectors(config, task: Task, say: Callable[[str], None]) -> Scored:
    """Runs the detectors of a config on a task, searching and resampling as it says."""
    return scoring.run(
        detectors.parse(config.detectors),
        task,
        choose=search.choose if config.search else None,
        resamples=config.bootstrap,
        say=say,
    )
