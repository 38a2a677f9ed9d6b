"""A detector as scikit-learn knows outlier detectors: fit, score_samples, predict of +1 or -1."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import ImageDetector
from adapt_jax.inference import calibrated


class OODDetector(OutlierMixin, BaseEstimator):
    """A detector on features (N, D), with scikit-learn's conventions.

    Fitted attributes: `state_`, the detector's; `offset_`, the threshold on `score_samples`;
    `classes_`, the labels that were seen; `n_features_in_`.

    Args:
      detector: spec string such as "mahalanobis" or "knn?k=50", of a detector that needs features
        and perhaps labels, but neither logits, a classifier nor images.
      tpr: share of the training rows that `predict` calls in-distribution; 0.95 by default.
      contamination: share 1 - tpr, under its name in scikit-learn; give one of the two.
    """

    def __init__(
        self,
        detector: str = "mahalanobis",
        *,
        tpr: float | None = None,
        contamination: float | None = None,
    ):
        self.detector = detector
        self.tpr = tpr
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> "OODDetector":
        """Fits the detector and its threshold on in-distribution rows.

        Args:
          X: features (N, D), two at least: most detectors look at directions.
          y: labels (N,) of any kind; None puts all rows into one class.

        Raises:
          InputError: the detector cannot work with features alone, or tpr is not a share.
        """
        detector, tpr = self._made(), self._tpr()
        least = max(2, detector.minimum_images)
        X = validate_data(self, X, ensure_min_samples=least, ensure_min_features=2)
        y = np.zeros(len(X), int) if y is None else column_or_1d(y)
        if len(y) != len(X):
            raise InputError(f"X has {len(X)} rows and y {len(y)}; give one label per row")
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.state_ = detector.fit(X, labels)
        scores = np.asarray(detector.score(self.state_, X), np.float64)
        self.offset_ = calibrated.threshold(scores, tpr)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Scores (N,) of features (N, D); larger means more in-distribution."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return np.asarray(self._made().score(self.state_, X), np.float64)

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores (N,) minus the threshold: in-distribution from 0 on."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """+1 for rows that are in-distribution, -1 for the others: (N,) int."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _made(self) -> detectors.Detector:
        """The detector; not an attribute, so that what is fitted can be pickled."""
        made = detectors.make(self.detector)
        if isinstance(made, ImageDetector) or made.needs - {"labels"}:
            needed = "images" if isinstance(made, ImageDetector) else ", ".join(sorted(made.needs))
            raise InputError(
                f"{self.detector} needs {needed}; OODDetector has features and labels only, use "
                "adapt_jax.detectors.make"
            )
        return made

    def _tpr(self) -> float:
        if self.contamination is None:
            tpr = calibrated.TPR if self.tpr is None else self.tpr
        elif self.tpr is None:
            tpr = 1 - self.contamination
        else:
            raise InputError("OODDetector: give tpr or contamination, which is 1 - tpr; not both")
        calibrated.check_tpr(tpr)
        return tpr
