"""What a method does with the whole training set between steps: its start, or a clustering.

The set goes un-augmented through the network in evaluation mode, normalised as in training. When
this happens depends on the step alone, and its randomness on the run's key and the epoch, so that a
resumed run repeats what falls on the step it resumes from and nothing else.
"""

from collections.abc import Callable

import jax
import numpy as np

from adapt_jax.methods.base import Method
from adapt_jax.runtime import sharding
from adapt_jax.training.plan import Plan
from adapt_jax.training.train_state import REFRESH, TrainState

EpochHook = Callable[[TrainState, int], TrainState]
Embed = Callable[[dict], np.ndarray]


def make(method: Method, plan: Plan, mesh, labels: np.ndarray, embed: Embed) -> EpochHook:
    """Builds `hook(state, step) -> state`, to be called before step `step` is taken.

    It changes nothing but `state.method_state`, and that only before step 0 (`Method.start`) and at
    the beginning of epochs that are due (`Method.refresh`).

    Args:
      method: the objective.
      plan: the length of the run.
      mesh: the devices; embeddings are split over them.
      labels: int32 (N,), the label or index of each training image that the loss gets.
      embed: function from the network's variables to the outputs (N, D) of all training images that
        the method reads.
    """
    if method.start is None and method.refresh is None:
        return lambda state, step: state

    labels = sharding.replicate(mesh, labels)

    def embeddings_of(state):
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return sharding.replicate(mesh, embed(variables))

    def compiled(function):
        def spread(method_state, embeddings, *rest):
            split = jax.lax.with_sharding_constraint(embeddings, sharding.over_batch(mesh))
            return function(method_state, split, *rest)

        return jax.jit(spread, out_shardings=sharding.replicated(mesh))

    start = method.start and compiled(method.start)
    refresh = method.refresh and compiled(method.refresh)

    def hook(state, step):
        if start and step == 0:
            started = start(state.method_state, embeddings_of(state), labels)
            state = state._replace(method_state=started)
        epoch, within = divmod(step, plan.steps_per_epoch)
        if refresh and within == 0 and method.refresh_due(epoch):
            key = jax.random.fold_in(jax.random.fold_in(state.key, REFRESH), epoch)
            refreshed = refresh(state.method_state, embeddings_of(state), key)
            state = state._replace(method_state=refreshed)
        return state

    return hook
