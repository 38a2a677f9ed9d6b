"""What a detector is: fit on ID outputs, score any outputs; larger means more in-distribution."""

import dataclasses
import functools
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


@dataclasses.dataclass(frozen=True)
class Detector:
    """Scores images from frozen outputs.

    `fit(train, val=None, head=None) -> state`: sees outputs of ID data only. Features alone will do
    where nothing else is needed: `fit(X (N, D), y (N,) or None, val=None, head=None)`.
    `score(state, outputs) -> (N,) float32`, or `score(state, X (N, D))`: larger = more
    in-distribution, always; any split of the rows into batches gives the same scores. Traceable in
    the outputs: it then looks at shapes only, not at values, and returns what is traced.
    `needs`: what `fit` or `score` cannot do without, of `NEEDS`: "labels" of the training set,
    "logits" of every set, the "head" that made them, a "val" set of held-out ID images.
    `minimum_images`: how many training images `fit` needs, so that a job can refuse to start.
    """

    fit: Callable[..., Any]
    score: Callable[[Any, Outputs], np.ndarray]
    needs: frozenset[str] = frozenset()
    minimum_images: int = 1

    def __post_init__(self):
        object.__setattr__(self, "fit", _fit_taking_arrays(self.fit))
        object.__setattr__(self, "score", _score_taking_arrays(self.score))


def _fit_taking_arrays(fit: Callable[..., Any]) -> Callable[..., Any]:
    def of_arrays(features, y=None, *, val=None, head=None):
        labels = None if y is None else np.asarray(y)
        return fit(
            _as_outputs(features, labels), val=None if val is None else _as_outputs(val), head=head
        )

    @functools.wraps(fit)
    def taking_arrays(train, *args, **kwargs):
        return (fit if isinstance(train, Outputs) else of_arrays)(train, *args, **kwargs)

    return taking_arrays


def _score_taking_arrays(score: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    @functools.wraps(score)
    def taking_arrays(state, outputs):
        return score(state, _as_outputs(outputs))

    return taking_arrays


def _as_outputs(given: Any, labels: np.ndarray | None = None) -> Outputs:
    """Outputs as they are; of features (N, D), outputs that have nothing else but labels."""
    return given if isinstance(given, Outputs) else Outputs(np.asarray(given), labels=labels)


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
