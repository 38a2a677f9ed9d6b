"""From a run's checkpoint to the inputs of detectors: the network's outputs of every set."""

import pathlib
from collections.abc import Callable

import numpy as np

from adapt_jax.data import augment
from adapt_jax.data.set_names import ID, VAL
from adapt_jax.detectors import Head
from adapt_jax.evaluate.scoring import Task
from adapt_jax.experiment import derived, record
from adapt_jax.experiment.record import Experiment
from adapt_jax.inference import feature_cache, forward, pixel_functions
from adapt_jax.inference.outputs import as_outputs, training_outputs
from adapt_jax.training.train_state import TrainState


def make_task(experiment: Experiment, state: TrainState, arrays) -> Task:
    """The inputs of detectors: outputs of every set, the head, and the network for gradients.

    Args:
      experiment: the run, with its image sets.
      state: the trained state.
      arrays: outputs by set, from `network_outputs`.
    """
    parts, data = experiment.parts, experiment.data
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    head = parts.model.classifier(variables)
    train = training_outputs(arrays["train"], parts.method, state.method_state)
    sets = {
        name: as_outputs(output_arrays) for name, output_arrays in arrays.items() if name != "train"
    }
    images = {name: dataset.images for name, dataset in data.evaluated().items()}
    if VAL not in sets:  # the job has said so
        sets[VAL], images[VAL] = train, data.train.images
    on_images = None
    if head is not None:
        on_images = pixel_functions.make(
            record.float32_model(experiment),
            variables,
            experiment.eval_mean_std,
            experiment.mesh,
            experiment.config.eval_batch_size,
            images,
        )
    on_host = head and Head(*map(np.asarray, head))
    return Task(train, on_host, sets, data.groups, on_images)


def network_outputs(
    experiment: Experiment,
    workdir: pathlib.Path,
    variables,
    checkpoint_sha256: str,
    report_progress: Callable[[str], None],
    profile: forward.Profile | None = None,
) -> dict[str, forward.Arrays]:
    """The outputs of every set of the run by name, from cache or network.

    Args:
      experiment: the run, with its image sets.
      workdir: the folder whose `features/` holds the cache.
      variables: the network's parameters and statistics.
      checkpoint_sha256: SHA-256 of these variables.
      report_progress: function called with a line about the set that is read.
      profile: function that profiles the passes, see `forward.make`; the cache is then written,
        not read.
    """
    config, parts, mean_std = experiment.config, experiment.parts, experiment.eval_mean_std
    normalize = augment.make_normalize(*mean_std, dtype=parts.dtype)
    run = forward.make(
        parts.model, variables, normalize, experiment.mesh, config.eval_batch_size, profile
    )
    dtype = derived.compute_dtype(config.model.dtype)
    folder = pathlib.Path(workdir) / "features"
    outputs, keys = {}, {}
    for name, dataset in experiment.data.evaluated().items():

        def read(images, name=name):
            report_progress(f"network: {name}, {len(images):,} images")
            return run(images)

        path = feature_cache.path_of(folder, name, checkpoint_sha256)
        keys[name] = feature_cache.outputs_sha256(checkpoint_sha256, dataset, mean_std, dtype)
        anew = profile is not None
        outputs[name] = feature_cache.cached(path, keys[name], dataset, read, anew=anew)
    suite = experiment.data.suite
    origin = {"train": config.train_data, ID: suite.id_test.source, VAL: suite.id_val.source}
    feature_cache.remember(folder, checkpoint_sha256, keys, origin, dtype)
    return outputs
