"""Accuracy of simple classifiers on frozen features, for networks that end in an embedding.

Nearest class mean (no training at all) and a linear probe (the usual yardstick of contrastive
learning, e.g. Chen et al. 2020). Neither looks at an OOD image.
"""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np

from adapt_jax.core import gaussian
from adapt_jax.core.arrays import NORM_FLOOR
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Outputs
from adapt_jax.detectors.checks import features_of, labels_of


def nearest_mean_accuracy(train: Outputs, test: Outputs) -> float:
    """Share of test images whose unit feature is closest, by cosine, to the mean of its own class.

    Args:
      train: features (N, D) and labels (N,) that the means are computed from.
      test: features (M, D) and labels (M,) that are classified.

    Raises:
      InputError: labels are missing or do not fit, or features are not finite.
    """
    _checked(train, test, "nearest_mean_accuracy")
    return float(np.mean(nearest_mean(train)(test.features) == test.labels))


def nearest_mean(train: Outputs) -> Callable[[np.ndarray], np.ndarray]:
    """`classify(features (M, D)) -> (M,) int`: the class whose mean unit feature is closest.

    Raises:
      InputError: labels are missing or do not fit, or features are not finite.
    """
    return partial(nearest, mean_directions(train))


def mean_directions(train: Outputs) -> np.ndarray:
    """The directions (C, D) float64 of the classes' mean unit features; errors as above."""
    features = features_of(train, "nearest_mean")
    labels, classes = labels_of(train._replace(logits=None), "nearest_mean")
    return gaussian.class_directions(features, labels, classes)


def nearest(directions: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The direction (C, D) closest to each feature (M, D): (M,) int."""
    # The features' length does not change the nearest.
    return np.argmax(np.asarray(features, np.float64) @ directions.T, axis=1)


def linear_probe_accuracy(
    train: Outputs, test: Outputs, *, penalty: float = 1.0, max_iterations: int = 1000
) -> float:
    """Test accuracy of a multinomial logistic regression on standardised features.

    Args:
      train: features (N, D) and labels (N,) to train on, of two classes at least.
      test: features (M, D) and labels (M,) that are classified.
      penalty: weight of the squared weights, over N (scikit-learn's 1 / C).
      max_iterations: maximum number of L-BFGS iterations; reaching it is no error.

    Raises:
      InputError: as above, or there is one class.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    features, labels, classes = _checked(train, test, "linear_probe_accuracy")
    if classes < 2:
        raise InputError("linear_probe_accuracy: one class leaves nothing to tell apart")
    rows = np.asarray(features, np.float64)
    mean, deviation = rows.mean(axis=0), np.maximum(rows.std(axis=0), NORM_FLOOR)
    probe = LogisticRegression(C=1.0 / penalty, max_iter=max_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit((rows - mean) / deviation, labels)
    rows = (np.asarray(test.features, np.float64) - mean) / deviation
    return float(np.mean(probe.predict(rows) == test.labels))


def _checked(train: Outputs, test: Outputs, where: str):
    """The training features and labels and C, after checks of both sets."""
    features = features_of(train, f"{where} on the training set")
    labels, classes = labels_of(train._replace(logits=None), f"{where} on the training set")
    features_of(test, f"{where} on the test set", width=features.shape[1])
    if test.labels is None or len(test.labels) != len(test.features):
        raise InputError(f"{where}: needs one label per test image")
    return features, labels, classes
