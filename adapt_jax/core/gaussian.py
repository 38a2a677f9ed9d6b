"""Gaussians that share one covariance: statistics in float64 on the host, scores on the device.

A score needs `(f - mu_c)^T P (f - mu_c)` with P the pseudo-inverse of a covariance. With
`P = R R^T` from its eigen-decomposition this is the squared distance between `f` and `mu_c` in the
coordinates `x -> x R`, where it cannot turn negative and no rows x rows product is ever formed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import NORM_FLOOR, matmul, working_dtype
from adapt_jax.core.errors import InputError

EPS = float(np.finfo(np.float64).eps)  # 2.2e-16
_HOST_ROWS = 8192  # rows held in float64 at a time
_SHORTLIST = 4


class Gaussians(NamedTuple):
    """C Gaussians of one covariance, in coordinates where that covariance is the identity.

    center (D,) is subtracted first, so that what is rounded and multiplied is small;
    whiten (D, r) maps to the r directions the pseudo-inverse keeps;
    means (C, r) are the class means in those coordinates.
    """

    center: jax.Array
    whiten: jax.Array
    means: jax.Array


def gaussians(means: np.ndarray, center: np.ndarray, whiten: np.ndarray, dtype) -> Gaussians:
    """Rounds float64 statistics to `dtype` for the device.

    Args:
      means: class means (C, D), in feature coordinates.
      center: a point (D,) near the data.
      whiten: whitening matrix (D, r), from `whitening`.
      dtype: dtype of the returned arrays.
    """
    center = np.asarray(center, dtype)
    # Relative to the rounded centre, which is the one the features will be taken from.
    whitened = (means - center.astype(np.float64)) @ whiten
    return Gaussians(jnp.asarray(center), jnp.asarray(whiten, dtype), jnp.asarray(whitened, dtype))


def pooled(features, labels, num_classes: int, where: str, normalize: bool = False) -> Gaussians:
    """A Gaussian per class, all with the covariance around their own means, divisor N.

    Args:
      features: array (N, D).
      labels: integers (N,) in 0..C-1; zeros with C = 1 give one Gaussian for everything.
      num_classes: number of classes C.
      where: detector and step ("rmds.fit"), for the error message.
      normalize: whether to scale rows to unit length first.

    Raises:
      InputError: the covariance is zero.
    """
    means = class_means(features, labels, num_classes, normalize)
    cov = covariance(features, means, labels, normalize)
    return _gaussians(features, labels, means, cov, where)


def total(features, labels, num_classes: int, where: str, normalize: bool = False) -> Gaussians:
    """A Gaussian per class, all with the covariance around the mean of all rows, divisor N - 1.

    Arguments and errors as in `pooled`; N is at least 2.
    """
    means = class_means(features, labels, num_classes, normalize)
    center = np.bincount(labels, minlength=num_classes) / len(labels) @ means
    cov = covariance(features, center[None], np.zeros_like(labels), normalize, ddof=1)
    return _gaussians(features, labels, means, cov, where)


def _gaussians(features, labels, means, cov, where: str) -> Gaussians:
    """Refuses a covariance of zero, which would divide by rounding."""
    share = np.bincount(labels, minlength=len(means)) / len(labels)
    if np.trace(cov) <= len(cov) * EPS**2 * (share @ np.sum(means**2, axis=1)):
        raise InputError(
            f"{where}: the covariance is zero: all features around each mean are identical"
        )
    return gaussians(means, share @ means, whitening(cov), working_dtype(features.dtype))


def nearest_squared_distance(rows: jax.Array, model: Gaussians) -> jax.Array:
    """`min_c (x - mu_c)^T P (x - mu_c)` per row: rows (B, D) -> (B,).

    A product ranks the classes; the distance itself is then taken by differences to the few best.
    The expanded square alone would cancel where classes lie far apart and images close to theirs
    (collapsed training features).
    """
    z = matmul(rows - model.center[None], model.whiten)  # (B, r)
    square = jnp.sum(model.means * model.means, axis=1)  # (C,)
    rank = 2 * matmul(z, model.means.T) - square[None]  # (B, C), larger = nearer
    _, near = jax.lax.top_k(rank, min(_SHORTLIST, len(model.means)))
    difference = z[:, None] - model.means[near]  # (B, shortlist, r)
    return jnp.min(jnp.sum(difference * difference, axis=-1), axis=1)


def class_means(features, labels, num_classes: int, normalize: bool = False) -> np.ndarray:
    """Mean of each class's (unit) rows: features (N, D), labels (N,) -> (C, D) float64.

    The mean of unit rows is not scaled back to unit length. A class without a row gives zeros.
    """
    total = np.zeros((num_classes, features.shape[1]))
    for part, rows in _float64_blocks(features, normalize):
        order = np.argsort(labels[part], kind="stable")
        present, starts = np.unique(labels[part][order], return_index=True)
        total[present] += np.add.reduceat(rows[order], starts, axis=0)
    count = np.bincount(labels, minlength=num_classes)
    return total / np.maximum(count, 1)[:, None]


def class_directions(features, labels, num_classes: int) -> np.ndarray:
    """The means of each class's unit rows, scaled to unit length: (C, D) float64; zeros stay so."""
    means = class_means(features, labels, num_classes, normalize=True)
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), NORM_FLOOR)


def covariance(
    features, means: np.ndarray, labels, normalize: bool = False, ddof: int = 0
) -> np.ndarray:
    """Covariance of the (unit) rows around their means: (D, D) float64, divisor N - ddof.

    Args:
      features: array (N, D).
      means: class means (C, D), float64.
      labels: integers (N,), the mean that each row is compared with; zeros with C = 1 give the
        total covariance.
      normalize: whether to scale rows to unit length first.
      ddof: 0 for the biased estimate, 1 for that of numpy.cov.
    """
    scatter = np.zeros((features.shape[1],) * 2)
    for part, rows in _float64_blocks(features, normalize):
        centred = rows - means[labels[part]]
        scatter += centred.T @ centred  # a symmetric product: NumPy does half the work
    return scatter / (len(features) - ddof)


def whitening(cov: np.ndarray, cutoff: float | None = None) -> np.ndarray:
    """R (D, r) with `R R^T` the pseudo-inverse of a covariance (D, D); float64, on the host.

    Eigenvalues up to `cutoff * largest` are taken for zero and their directions dropped, so r is
    the rank. The default, D * 2.2e-16, is scipy.linalg.pinvh's rule and MATLAB's for pinv; it has
    to be stated, because it decides the scores wherever channels are dead, and libraries differ.
    """
    values, vectors = np.linalg.eigh(cov)
    if cutoff is None:
        cutoff = len(cov) * EPS
    keep = values > cutoff * max(values[-1], 0.0)
    return vectors[:, keep] / np.sqrt(values[keep])


def _float64_blocks(features, normalize: bool) -> Iterator[tuple[slice, np.ndarray]]:
    """(Unit) rows in float64, a block at a time: N x D doubles may not fit beside the features."""
    for start in range(0, len(features), _HOST_ROWS):
        part = slice(start, start + _HOST_ROWS)
        rows = np.asarray(features[part], np.float64)
        if normalize:
            norm = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows / np.maximum(norm, NORM_FLOOR)
        yield part, rows
