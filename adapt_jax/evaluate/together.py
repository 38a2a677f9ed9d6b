"""Detectors that send the images through the network again: one pass for all of them.

Each asks for the network's outputs, a gradient with respect to the pixels, and the outputs of
changed pixels. In one program the compiler computes once what several ask for: the first of these
always, the gradient where it is the same.
"""

import functools
from collections.abc import Callable, Mapping
from functools import partial

import jax
import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import VAL
from adapt_jax.detectors import ImageDetector, Network
from adapt_jax.results.scoring import FAILURES

OnImages = Callable[[Callable], Callable[..., np.ndarray]]
OfSet = Callable[[str], np.ndarray]  # name of a set -> scores (N,)
OfBatch = Callable[[Network, jax.Array], jax.Array]  # network, pixels (B, ...) -> scores (B,)


def fit_on_images(detector: ImageDetector, on_images: OnImages) -> OfBatch:
    """Fits a detector on what it measures of the held-out ID images; returns its score."""
    measured = None
    if detector.measure is not None:
        measured = on_images(detector.measure)(VAL, detector.maximum_val)
    return partial(detector.score, detector.fit(measured))


def together(detectors: Mapping[str, ImageDetector], on_images: OnImages) -> Mapping[str, OfSet]:
    """The scores of several detectors, computed together when the first of them is asked for.

    Args:
      detectors: detectors by name; those that cannot be fitted are left out.
      on_images: function that runs others over the images, see `evaluate.scoring.Task`.
    """
    scores: dict[str, OfBatch] = {}
    for name, detector in detectors.items():
        try:
            scores[name] = fit_on_images(detector, on_images)
        except (InputError, *FAILURES):  # it says so itself when its turn comes
            continue
    every = on_images(
        lambda network, x: {name: score(network, x) for name, score in scores.items()}
    )
    of_set = functools.cache(every)

    def one(name: str, images: str) -> np.ndarray:
        try:
            return of_set(images)[name]
        except (InputError, *FAILURES):
            if len(scores) == 1:
                raise
        return on_images(scores[name])(images)  # so that whoever fails loses its own rows only

    return {name: partial(one, name) for name in scores}
