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

from adapt_jax.core.arrays import NORM_FLOOR, matmul, on_device, working_dtype
from adapt_jax.core.errors import InputError

EPS = float(np.finfo(np.float64).eps)  # 2.2e-16
_HOST_ROWS = 2048  # rows held in float64 at a time
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
    return Gaussians(*(on_device(x, dtype) for x in (center, whiten, whitened)))


class Moments(NamedTuple):
    """Counts (C,), means (C, D) and the scatter (D, D) of the rows around their means, float64.

    A class without a row has a mean of zeros.
    """

    counts: np.ndarray
    means: np.ndarray
    scatter: np.ndarray

    def around(self, point: np.ndarray) -> np.ndarray:
        """The scatter (D, D) of all rows around a point (D,): a sum of squares, nothing cancels."""
        away = (self.means - point) * np.sqrt(self.counts)[:, None]
        return self.scatter + away.T @ away

    def constant(self) -> bool:
        """Whether the rows equal their means up to the rounding of a block's sum."""
        square = self.counts @ np.sum(self.means**2, axis=1)
        return bool(np.trace(self.scatter) <= _HOST_ROWS * EPS**2 * square)

    def together(self) -> "Moments":
        """The same of all rows as one class."""
        mean = self.counts / self.counts.sum() @ self.means
        return Moments(self.counts.sum(keepdims=True), mean[None], self.around(mean))


def moments(features, labels, num_classes: int, normalize: bool = False) -> Moments:
    """Means and scatter of (unit) rows, in one pass.

    What a block holds of a class is centred on its own mean; the differences between these means
    are added to the product (Chan et al. 1979). So the scatter keeps its digits however far apart
    the classes are.

    Args:
      features: array (N, D).
      labels: integers (N,) in 0..C-1; zeros with C = 1 take all rows together.
      num_classes: number of classes C.
      normalize: whether to scale rows to unit length first.
    """
    scatter, product = np.zeros((2, features.shape[1], features.shape[1]))
    parts = []
    for rows, pieces in _float64_blocks(features, labels, normalize):
        for label, where in pieces:
            piece = rows[where]
            mean = _sum(piece) / len(piece)
            piece -= mean
            parts.append((label, len(piece), mean))
        scatter += np.matmul(rows.T, rows, out=product)  # symmetric: NumPy does half the work
    present, sizes, centers = map(np.array, zip(*parts, strict=True))
    sums = np.zeros((num_classes, features.shape[1]))
    np.add.at(sums, present, sizes[:, None] * centers)
    counts = np.bincount(labels, minlength=num_classes)
    means = sums / np.maximum(counts, 1)[:, None]
    scatter = Moments(sizes, centers - means[present], scatter).around(np.zeros(len(scatter)))
    return Moments(counts, means, scatter)


def pooled(of: Moments, where: str, dtype) -> Gaussians:
    """A Gaussian per class, all with the covariance around their own means, divisor N.

    Args:
      of: moments of the training features.
      where: detector and step ("rmds.fit"), for the error message.
      dtype: dtype of these features.

    Raises:
      InputError: the covariance is zero.
    """
    return _gaussians(of, of.scatter / of.counts.sum(), of.constant(), where, dtype)


def total(of: Moments, where: str, dtype) -> Gaussians:
    """A Gaussian per class, all with the covariance around the mean of all rows, divisor N - 1.

    Arguments and errors as in `pooled`; N is at least 2.
    """
    one = of.together()
    return _gaussians(of, one.scatter / (one.counts[0] - 1), one.constant(), where, dtype)


def _gaussians(of: Moments, cov: np.ndarray, constant: bool, where: str, dtype) -> Gaussians:
    """Refuses a covariance of zero, which would divide by rounding."""
    if constant:
        raise InputError(
            f"{where}: the covariance is zero: all features around each mean are identical"
        )
    center = of.together().means[0]
    return gaussians(of.means, center, whitening(cov), working_dtype(dtype))


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
    sums = np.zeros((num_classes, features.shape[1]))
    for rows, pieces in _float64_blocks(features, labels, normalize):
        for label, where in pieces:
            sums[label] += _sum(rows[where])
    count = np.bincount(labels, minlength=num_classes)
    return sums / np.maximum(count, 1)[:, None]


def class_directions(features, labels, num_classes: int) -> np.ndarray:
    """The means of each class's unit rows, scaled to unit length: (C, D) float64; zeros stay so."""
    means = class_means(features, labels, num_classes, normalize=True)
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), NORM_FLOOR)


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


def _sum(rows: np.ndarray) -> np.ndarray:
    return np.ones(len(rows)) @ rows


def _float64_blocks(
    features, labels, normalize: bool
) -> Iterator[tuple[np.ndarray, list[tuple[int, slice]]]]:
    """(Unit) rows in float64, class by class, a block that fits in the cache at a time.

    Yields:
      rows (B, D), the same memory each time; the label and the place of each class among them.
    """
    order = np.argsort(labels, kind="stable")
    memory = np.empty((min(_HOST_ROWS, len(order)), features.shape[1]))
    for start in range(0, len(order), _HOST_ROWS):
        part = order[start : start + _HOST_ROWS]
        rows = memory[: len(part)]
        rows[:] = features[part]
        if normalize:
            norm = np.sqrt(np.einsum("nd,nd->n", rows, rows))
            rows *= 1 / np.maximum(norm, NORM_FLOOR)[:, None]
        present, starts = np.unique(labels[part], return_index=True)
        ends = [*starts[1:], len(part)]
        yield rows, [(c, slice(i, j)) for c, i, j in zip(present, starts, ends)]
