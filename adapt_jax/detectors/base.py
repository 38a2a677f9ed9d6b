"""What a detector is: fit on ID outputs, score any outputs; larger means more in-distribution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


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

    kernel: np.ndarray
    bias: np.ndarray


class Detector(NamedTuple):
    """Scores images from frozen outputs.

    `fit(train, val=None, head=None) -> state`: sees outputs of ID data only.
    `score(state, outputs) -> (N,) float32`: larger = more in-distribution, always; any split of the
    rows into batches gives the same scores.
    `minimum_images`: how many training images `fit` needs, so that a job can refuse to start;
    `needs_labels`: whether it needs their labels.
    """

    fit: Callable[..., Any]
    score: Callable[[Any, Outputs], np.ndarray]
    minimum_images: int = 1
    needs_labels: bool = False
