"""What a model is: pure functions on plain nested dicts, whatever library builds them inside."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Variables = dict[str, Any]  # {"params": nested dict, "batch_stats": nested dict}


class ModelOutputs(NamedTuple):
    """What a network says about N images; float32 (float64 where the inputs are).

    features (N, F): the pooled encoder output, not normalised; what detectors score.
    embeddings (N, D): unit rows of the projection head, or None without one.
    logits (N, C): the linear classifier's, or None without one.
    """

    features: jax.Array
    embeddings: jax.Array | None
    logits: jax.Array | None


class Model(NamedTuple):
    """A network with its choices closed over.

    `init(key, image_shape=(32, 32, 3), param_dtype=float32) -> variables`: plain nested dicts
    `{"params": ..., "batch_stats": ...}`. Traceable, so it can be jitted with an output sharding.

    `apply(variables, images (N, H, W, channels) floating, train: bool) -> (ModelOutputs, stats)`.
    With `train` the batch normalises itself and `stats` are the updated running statistics;
    without, the running statistics are used and come back as they were.

    `feature_dim` is F, `embedding_dim` D or None, `num_classes` C or None.

    `flops_per_image(height, width) -> int`: analytic FLOPs of one forward pass, two per
    multiply-accumulate of a convolution or product (a training step costs about three times that).

    `classifier(variables) -> (kernel (F, C), bias (C,)) | None`: the linear layer that made the
    logits, as evaluation computes them: logits = features @ kernel + bias.

    `trainable(params) -> tree of bool`, False for parameters that must stay as they are (their
    gradient is zero); None where everything trains.
    """

    name: str
    init: Callable[..., Variables]
    apply: Callable[[Variables, jax.Array, bool], tuple[ModelOutputs, dict[str, Any]]]
    feature_dim: int
    embedding_dim: int | None
    num_classes: int | None
    flops_per_image: Callable[[int, int], int]
    classifier: Callable[[Variables], tuple[jax.Array, jax.Array] | None]
    trainable: Callable[[Any], Any] | None = None
