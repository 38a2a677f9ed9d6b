"""Between steps: what a method does with the whole training set (a start, a clustering).

The set goes un-augmented through the network in evaluation mode, normalised as in training. When
this happens depends on the step alone, and its randomness on the run's key and the epoch, so that a
resumed run repeats what falls on the step it resumes from and nothing else.
"""

from collections.abc import Callable

import jax

from adapt_jax.data import augment
from adapt_jax.data.sources import Dataset
from adapt_jax.experiment import derived
from adapt_jax.inference import forward
from adapt_jax.runtime import sharding
from adapt_jax.training import train_loop, train_step
from adapt_jax.training.parts import Parts
from adapt_jax.training.train_state import REFRESH, TrainState

Between = Callable[[TrainState, int], TrainState]


def make(config, parts: Parts, mesh, train_set: Dataset) -> Between:
    """Builds `between(state, step) -> state`, to be called before step `step` is taken.

    It changes nothing but `state.method_state`, and that only before step 0 (`Method.start`) and at
    the beginning of epochs that are due (`Method.refresh`).

    Args:
      config: of the run.
      parts: from `build.build_for`.
      mesh: the devices; embeddings are split over them.
      train_set: the images, and their labels where there are some.
    """
    method = parts.method
    if method.start is None and method.refresh is None:
        return lambda state, step: state

    num_images = len(train_set.images)
    per_epoch = train_loop.steps_per_epoch(num_images, config.batch_size)
    normalize = augment.make_normalize(
        *derived.training_mean_std(config, train_set), dtype=parts.dtype
    )
    # Not eval_batch_size, which may change between a run and its resumption.
    outputs_of = forward.make_for_any(
        parts.model, normalize, mesh, config.batch_size * config.views
    )
    targets = sharding.replicate(mesh, train_step.targets(method, train_set.labels, num_images))

    def embed(state):
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return sharding.replicate(mesh, outputs_of(variables, train_set.images)[method.reads])

    def compiled(function):
        def spread(method_state, embeddings, *rest):
            split = jax.lax.with_sharding_constraint(embeddings, sharding.over_batch(mesh))
            return function(method_state, split, *rest)

        return jax.jit(spread, out_shardings=sharding.replicated(mesh))

    start = method.start and compiled(method.start)
    refresh = method.refresh and compiled(method.refresh)

    def between(state, step):
        if start and step == 0:
            state = state._replace(method_state=start(state.method_state, embed(state), targets))
        epoch, within = divmod(step, per_epoch)
        if refresh and within == 0 and method.refresh_due(epoch):
            key = jax.random.fold_in(jax.random.fold_in(state.key, REFRESH), epoch)
            state = state._replace(method_state=refresh(state.method_state, embed(state), key))
        return state

    return between
