"""Decisions with a guarantee: split-conformal p-values of scores.

If an image is in-distribution like the n held-out calibration images, its p-value is at most alpha
with probability at most alpha, whatever the detector and the network (Vovk et al. 2005; Bates et
al. 2023, Testing for outliers with conformal p-values). Nothing is assumed except that calibration
and new ID images are exchangeable, and that neither was trained or fitted on.
"""

from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError

CONFIDENCE = 0.95
_ROUNDING = 1e-12  # 0.29 * 100 is 28.999999999999996 in floating point


class Guarantee(NamedTuple):
    """What rejecting images with a p-value of at most alpha promises about ID images.

    `calibration_size` is n, the number of calibration images, and `alpha` the level of the
    decision. `mean` is the share of ID images rejected on average over calibration sets:
    floor(alpha (n+1)) / (n+1) if no scores are equal, and never more. `bound` is the share that is
    not exceeded with probability `confidence` by the calibration set at hand, a quantile of a Beta
    distribution; the probability is over draws of the calibration set.
    """

    calibration_size: int
    alpha: float
    mean: float
    bound: float
    confidence: float


def p_values(calibration, scores) -> np.ndarray:
    """The p-values (M,) of the hypotheses that images are in-distribution: small means OOD.

    Args:
      calibration: scores (n,) of held-out ID images, larger = more in-distribution.
      scores: scores (M,) of new images by the same detector.

    Returns:
      (1 + number of calibration scores that are not larger) / (n + 1), so that ties are on the safe
      side.

    Raises:
      InputError: no calibration scores, or NaN or infinity.
    """
    calibration, scores = np.asarray(calibration), np.asarray(scores)
    if calibration.ndim != 1 or not calibration.size:
        raise InputError(f"calibration scores have shape (n,), n >= 1, got {calibration.shape}")
    if not (np.isfinite(calibration).all() and np.isfinite(scores).all()):
        raise InputError("conformal p-values need finite scores, some are NaN or infinite")
    not_larger = np.searchsorted(np.sort(calibration), scores, side="right")
    return (1 + not_larger) / (calibration.size + 1)


def reject(p_values, alpha: float) -> np.ndarray:
    """Which images (M,) are called OOD, each by itself, at the level alpha.

    Args:
      p_values: p-values (M,), from `p_values`.
      alpha: largest share of ID images that may be rejected.
    """
    return np.asarray(p_values) <= alpha + _ROUNDING


def threshold(calibration, alpha: float) -> float:
    """The score below which `reject` calls images OOD.

    Args:
      calibration: scores (n,) of held-out ID images, larger = more in-distribution.
      alpha: level of the decision, in (0, 1).

    Raises:
      InputError: a level outside (0, 1), or too few calibration images to ever reject one.
    """
    guarantee(len(calibration), alpha)
    return float(np.sort(calibration)[_rank(len(calibration), alpha) - 1])


def benjamini_hochberg(p_values, rate: float) -> np.ndarray:
    """Which images (M,) of a batch are called OOD so that few of those calls are false.

    Args:
      p_values: p-values (M,) of the whole batch, from one calibration set.
      rate: largest false discovery rate: the expected share of ID images among those rejected.
        It holds for conformal p-values although they share the calibration set (Bates et al. 2023).

    Source: Benjamini and Hochberg 1995.
    """
    p_values = np.asarray(p_values, np.float64)
    ordered = np.sort(p_values)
    below = ordered <= rate * np.arange(1, ordered.size + 1) / max(ordered.size, 1) + _ROUNDING
    return p_values <= np.max(ordered[below], initial=-1)


def check_share(name: str, share: float) -> None:
    """Raises InputError unless a share lies between 0 and 1."""
    if not 0 < share < 1:
        raise InputError(f"{name} lies between 0 and 1, got {share:g}")


def guarantee(calibration_size: int, alpha: float, confidence: float = CONFIDENCE) -> Guarantee:
    """The promise of `reject` at a level, given how many calibration images there are.

    Args:
      calibration_size: number n of calibration images.
      alpha: the level, in (0, 1).
      confidence: the probability with which the bound holds, in (0, 1).

    Raises:
      InputError: a share outside (0, 1), or too few calibration images to ever reject one.
    """
    from scipy import stats  # slow to import

    check_share("alpha", alpha)
    check_share("confidence", confidence)
    rank = _rank(calibration_size, alpha)
    if not rank:
        raise InputError(
            f"alpha={alpha:g} needs at least {int(np.ceil(1 / alpha - _ROUNDING)) - 1} calibration "
            f"images and there are {calibration_size}; take a larger alpha or more images"
        )
    rest = calibration_size + 1 - rank
    bound = float(stats.beta.ppf(confidence, rank, rest))
    return Guarantee(calibration_size, alpha, rank / (rank + rest), bound, confidence)


def most_rejections(guarantee: Guarantee, batch_size: int) -> int:
    """How many of a batch of ID images are rejected at most, with the guarantee's confidence.

    Args:
      guarantee: guarantee of the decision, from `guarantee`.
      batch_size: number of new ID images; the count is beta-binomial.
    """
    from scipy import stats

    rank = _rank(guarantee.calibration_size, guarantee.alpha)
    rest = guarantee.calibration_size + 1 - rank
    return int(stats.betabinom.ppf(guarantee.confidence, batch_size, rank, rest))


def _rank(calibration_size: int, alpha: float) -> int:
    """Images are rejected below the calibration score of this rank, counted from the smallest."""
    return int(np.floor((alpha + _ROUNDING) * (calibration_size + 1)))
