"""What a training objective is: two pure functions on arrays, and sometimes two more."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax

State = Any  # a pytree of arrays, possibly empty; part of the checkpoint
Metrics = dict[str, jax.Array]  # scalars


class Method(NamedTuple):
    """A training objective with its hyper-parameters closed over.

    `init(key) -> state`.

    `loss(embeddings, labels, state) -> (loss, (state, metrics))` with embeddings (V, B, D) float32
    (V views of B images; unit rows, or raw logits where `reads` is "logits"), labels (B,) int32,
    loss () float32. The returned state carries no gradient. A batch that is not finite leaves the
    state as it was.

    `start(state, embeddings (N, D), labels (N,)) -> state`, once before the first step: what the
    untrained network, in evaluation mode, makes of the un-augmented training set. None: not needed.

    `refresh(state, embeddings (N, D), key) -> state`, at the beginning of the epochs (counted from
    0) for which `refresh_due(epoch)` is true, on the same set; only for methods that cluster, None
    elsewhere. It costs a pass over the set, so the method says when it is worth it.

    `reads` names the network output all of them are computed from.

    `label_kind` says what "labels" are: classes, or "indices": each image's place in the training
    set, by which methods that need no labels remember what they know of it.
    """

    init: Callable[[jax.Array], State]
    loss: Callable[[jax.Array, jax.Array, State], tuple[jax.Array, tuple[State, Metrics]]]
    refresh: Callable[[State, jax.Array, jax.Array], State] | None = None
    reads: Literal["embeddings", "logits"] = "embeddings"
    label_kind: Literal["labels", "indices"] = "labels"
    start: Callable[[State, jax.Array, jax.Array], State] | None = None
    refresh_due: Callable[[int], bool] = lambda epoch: True
