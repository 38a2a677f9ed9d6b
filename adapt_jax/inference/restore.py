"""The trained state of a run or an export."""

import pathlib

import jax

from adapt_jax.core.errors import InputError
from adapt_jax.runtime import sharding
from adapt_jax.training.train_state import TrainState, create
from adapt_jax.workdir import bundle, checkpoints


def _abstract_state(config, parts, mesh):
    shape = (config.image_size, config.image_size, 3)
    like = jax.eval_shape(
        lambda: create(
            jax.random.key(0), parts.model, parts.method, parts.optimizer, shape, parts.dtype
        )
    )
    place = sharding.replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), like)


def restore(config, workdir, parts, mesh) -> TrainState:
    """The state the config evaluates: the last checkpoint or the best; of an export, its only one.

    Raises:
      InputError: the run has no checkpoint, or one of another shape.
    """
    if bundle.is_export(pathlib.Path(workdir)):
        return bundle.restore(pathlib.Path(workdir), _abstract_state(config, parts, mesh), mesh)
    store = checkpoints.Checkpoints(workdir, cleanup=False)
    try:
        best = config.eval_checkpoint == "best"
        step = store.best_step() if best else store.latest_step()
        if step is None:
            raise InputError(f"{workdir} has no checkpoint yet; train it first")
        return store.restore(step, _abstract_state(config, parts, mesh))
    finally:
        store.close()
