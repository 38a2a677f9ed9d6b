"""The trained state of a run or an export."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from adapt_jax.core import generator
from adapt_jax.core.arrays import to_host
from adapt_jax.core.errors import InputError
from adapt_jax.experiment.record import Experiment
from adapt_jax.models import wrapped
from adapt_jax.runtime import sharding, terminal
from adapt_jax.training import train_state
from adapt_jax.training.train_state import TrainState
from adapt_jax.workdir import bundle, checkpoints


def restore(
    experiment: Experiment,
    folder: pathlib.Path,
    *,
    strict: bool = False,
    warn: Callable[[str], None] = terminal.warn,
) -> TrainState:
    """The state that is evaluated: the last checkpoint or the best; of an export, its only one.

    Args:
      experiment: the run, whose config field eval_checkpoint selects the checkpoint.
      folder: folder of the run, or of an export, whose state has no optimiser and no key.
      strict: whether to refuse a damaged checkpoint instead of using another.
      warn: function called with a sentence when another checkpoint is used.

    Raises:
      InputError: the run has no checkpoint, or none that can be used.
    """
    folder = pathlib.Path(folder)
    like = _abstract_state(experiment)
    if bundle.is_export(folder):
        return _exported(folder, like, experiment.mesh)
    if wrapped.is_own(experiment.config.model.name):
        return _wrapped(experiment)
    store = checkpoints.Checkpoints(folder, cleanup=False, warn=warn)
    try:
        state = store.restore(experiment.config.eval_checkpoint, like, strict=strict)
    finally:
        store.close()
    if state is None:
        raise InputError(f"{folder} has no checkpoint yet; train it first")
    return state


def _wrapped(experiment: Experiment) -> TrainState:
    """The state of a network that was made elsewhere, on every device of the mesh."""
    variables = experiment.parts.model.init(None)
    method_state = experiment.parts.method.init(generator.key(0))
    placed = sharding.replicate(experiment.mesh, to_host(variables))
    step: Any = np.int32(0)
    return TrainState(step, placed["params"], placed["batch_stats"], None, method_state, None)


def _exported(folder: pathlib.Path, like: TrainState, mesh) -> TrainState:
    """The exported state on every device of the mesh."""
    wanted = {
        "params": like.params,
        "batch_stats": like.batch_stats,
        "method": like.method_state,
    }
    arrays, step = bundle.read_weights(folder, wanted)
    placed = sharding.replicate(mesh, arrays)
    count: Any = np.int32(step)
    return TrainState(count, placed["params"], placed["batch_stats"], None, placed["method"], None)


def _abstract_state(experiment: Experiment) -> TrainState:
    """Shapes, dtypes and places of a state's arrays."""
    like = jax.eval_shape(
        lambda: train_state.create(generator.key(0), experiment.parts, experiment.image_shape)
    )
    place = sharding.replicated(experiment.mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), like)
