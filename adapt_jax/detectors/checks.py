"""Checks that every detector makes of its input; the messages name what is wrong.

Of arrays that are being traced only the shapes are checked: their values are not there yet.
"""

import numpy as np

from adapt_jax.core.arrays import traced
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Head, Outputs


def features_of(outputs: Outputs, where: str, width: int | None = None) -> np.ndarray:
    """The features (N, D), checked: two-dimensional, not empty, finite, of the fitted width.

    Args:
      outputs: the outputs of a network.
      where: detector and step ("knn.fit"), for the error message.
      width: number D of features that the detector was fitted on, if it is known.

    Raises:
      InputError: naming what is wrong, with counts.
    """
    features = outputs.features
    if not traced(features):
        features = np.asarray(features)
    if features.ndim != 2:
        raise InputError(f"{where}: features must have shape (N, D), got {features.shape}")
    if 0 in features.shape:
        raise InputError(f"{where}: there are no features (shape {features.shape})")
    if width is not None and features.shape[1] != width:
        raise InputError(
            f"{where}: features have {features.shape[1]} dimensions, but the detector was fitted "
            f"on {width}; use the same network for both"
        )
    if traced(features):
        return features
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{where}: {np.count_nonzero(~finite)} of {len(features)} feature rows hold NaN or "
            f"infinity (the first is row {int(np.argmin(finite))}); the network or its input broke"
        )
    return features


def labels_of(outputs: Outputs, where: str) -> tuple[np.ndarray, int]:
    """The labels (N,) as int64 and the number of classes C; every class has a row.

    C is the number of logits where there are logits, else the largest label plus one.

    Raises:
      InputError: labels are missing, do not fit the features, or a class (named) has no row.
    """
    if outputs.labels is None:
        raise InputError(f"{where}: needs the labels of the training set, got labels=None")
    labels = np.asarray(outputs.labels)
    if labels.shape != (len(outputs.features),):
        raise InputError(
            f"{where}: {len(outputs.features)} feature rows but labels of shape {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{where}: labels must be integers, got {labels.dtype}")
    labels = labels.astype(np.int64)
    classes = int(labels.max()) + 1 if outputs.logits is None else int(outputs.logits.shape[1])
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{where}: labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}"
        )
    absent = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if absent.size:
        more = f" (and {absent.size - 1} more)" if absent.size > 1 else ""
        raise InputError(
            f"{where}: class {absent[0]}{more} of {classes} has no training image, so no mean; "
            "number the classes without gaps or use the whole training set"
        )
    return labels, classes


def logits_of(outputs: Outputs, where: str, classes: int | None = None) -> np.ndarray:
    """The logits (N, C), checked: there are some, one row per feature row, finite, C as fitted.

    Raises:
      InputError: naming what is wrong, with counts.
    """
    if outputs.logits is None:
        raise InputError(f"{where}: needs logits, got logits=None; use a network with a classifier")
    logits, count = outputs.logits, np.shape(outputs.features)[0]
    if not traced(logits):
        logits = np.asarray(logits)
    if logits.ndim != 2 or logits.shape[0] != count or 0 in logits.shape:
        raise InputError(
            f"{where}: logits must have shape (N, C) with N = {count} as the features have, got "
            f"{logits.shape}"
        )
    if classes is not None and logits.shape[1] != classes:
        raise InputError(f"{where}: logits are of {logits.shape[1]} classes, not {classes}")
    if traced(logits):
        return logits
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{where}: {np.count_nonzero(~finite)} of {len(logits)} logit rows hold NaN or "
            f"infinity (the first is row {int(np.argmin(finite))}); the network or its input broke"
        )
    return logits


def head_of(head: Head | None, where: str, width: int) -> Head:
    """The classifier, checked: there is one, of shapes (D, C) and (C,), D the features' width.

    Raises:
      InputError: naming what is wrong.
    """
    if head is None:
        raise InputError(f"{where}: needs the classifier's weights, got head=None")
    kernel, bias = np.asarray(head.kernel), np.asarray(head.bias)
    if kernel.ndim != 2 or kernel.shape[0] != width or bias.shape != kernel.shape[1:]:
        raise InputError(
            f"{where}: the head must have a kernel (D, C) with D = {width} and a bias (C,), got "
            f"{kernel.shape} and {bias.shape}"
        )
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise InputError(f"{where}: the head holds NaN or infinity; the checkpoint is damaged")
    return Head(kernel, bias)


def val_of(val: Outputs | None, where: str) -> Outputs:
    """The outputs of held-out ID images.

    Raises:
      InputError: there are none.
    """
    if val is None:
        raise InputError(f"{where}: needs outputs of held-out ID images, got val=None")
    return val
