"""What a detector is: fit on ID outputs, score any outputs; larger means more in-distribution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from adapt_jax.core.arrays import Array

NEEDS = ("labels", "logits", "head", "val")


class Outputs(NamedTuple):
    """What a network said about N images, in data-set order.

    features (N, D) float32, penultimate, as the network gave them (not normalised);
    logits (N, C) float32 or None; labels (N,) int32 or None.
    """

    features: np.ndarray
    logits: np.ndarray | None = None
    labels: np.ndarray | None = None


class Head(NamedTuple):
    """The linear classifier that made the logits: `features @ kernel + bias`.

    kernel (D, C) float32, bias (C,) float32.
    """

    kernel: Array
    bias: Array


class Detector(NamedTuple):
    """Scores images from frozen outputs.

    `fit(train, val=None, head=None) -> state`: sees outputs of ID data only.
    `score(state, outputs) -> (N,) float32`: larger = more in-distribution, always; any split of the
    rows into batches gives the same scores. Traceable in the outputs: it then looks at shapes only,
    not at values, and returns what is traced.
    `needs`: what `fit` or `score` cannot do without, of `NEEDS`: "labels" of the training set,
    "logits" of every set, the "head" that made them, a "val" set of held-out ID images.
    `minimum_images`: how many training images `fit` needs, so that a job can refuse to start.
    """

    fit: Callable[..., Any]
    score: Callable[[Any, Outputs], np.ndarray]
    needs: frozenset[str] = frozenset()
    minimum_images: int = 1


class Network(NamedTuple):
    """A network with a linear classifier, differentiable in its pixels.

    `forward(pixels (B, ...)) -> (features (B, D), logits (B, C))`: traceable, row by row;
    `head`: the classifier, logits = features @ kernel + bias;
    `std`: (channels,) what pixels of the unit range were divided by, last axis of `pixels`.
    """

    forward: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    head: Head
    std: jax.Array


class ImageDetector(NamedTuple):
    """Scores images through the network itself: it needs gradients with respect to pixels.

    All of it but `fit` is traceable and works row by row, so that a job decides about batches and
    devices; pixels (B, ...) are what the network sees, normalised.

    `measure(network, pixels) -> (B,)`, or None: what `fit` wants to know of every validation image;
    `fit(measured (N,) or None) -> state`;
    `score(state, network, pixels) -> (B,)`: larger = more in-distribution.
    `needs`: as in `Detector`.
    `maximum_val`: how many validation images are measured at most; the job draws them.
    """

    measure: Callable[[Network, jax.Array], jax.Array] | None
    fit: Callable[[np.ndarray | None], Any]
    score: Callable[[Any, Network, jax.Array], jax.Array]
    needs: frozenset[str] = frozenset(("head", "logits"))
    maximum_val: int | None = None
