"""What a training objective is: two pure functions on arrays (three, where it clusters)."""

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

    `refresh(state, embeddings (N, D), key) -> state`, once per epoch on the un-augmented training
    set, only for methods that cluster; None elsewhere.

    `reads` names the network output the loss is computed from.
    """

    init: Callable[[jax.Array], State]
    loss: Callable[[jax.Array, jax.Array, State], tuple[jax.Array, tuple[State, Metrics]]]
    refresh: Callable[[State, jax.Array, jax.Array], State] | None = None
    reads: Literal["embeddings", "logits"] = "embeddings"
