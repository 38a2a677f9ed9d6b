"""Signs that a network has hardly learnt anything, which make a run's numbers meaningless."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapt_jax.results.tables import MEAN

CHANCE = 0.6  # AUROC of a group's mean, of the best detector
FEW_DIRECTIONS = 0.6  # of as many as would tell the classes apart
_ENOUGH = 10  # directions; pictures of many classes need no more to be told apart somewhat
_SAMPLE = 2000
REMEDY = (
    "no detector can tell images apart by features that do not. Look at the loss in metrics.jsonl; "
    "train longer or with another learning rate, or, with a few hundred images, start from weights "
    "or with cross-entropy (docs/data.md)"
)


def effective_rank(rows: np.ndarray) -> float:
    """Participation ratio of the covariance's eigenvalues of rows (N, D); 0 where all are equal.

    It is D where all directions vary alike and 1 where only one does.
    """
    centred = np.asarray(rows, np.float64)
    centred = centred - centred.mean(axis=0)
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    square = np.sum(gram * gram)
    return float(np.trace(gram) ** 2 / square) if square > 0 else 0.0


def signs(train: Mapping[str, np.ndarray], rows: Sequence[Mapping[str, Any]]) -> str:
    """The signs that a network has hardly learnt, in one sentence; "" if there are none.

    Args:
      train: outputs of the training set: features (N, D), and labels (N,) where there are some.
      rows: result rows, those of results.json.
    """
    seen = []
    features = sample(train["features"])
    classes = int(train["labels"].max()) + 1 if "labels" in train else 0
    rank, wanted = effective_rank(features), min(classes - 1, _ENOUGH, features.shape[1])
    if np.isfinite(features).all() and rank < FEW_DIRECTIONS * wanted:
        seen.append(f"features of {classes} classes have an effective rank of {rank:.1f} only")
    means = [row["auroc"] for row in rows if row["ood"] == MEAN]
    if means and max(means) < CHANCE:
        seen.append(f"no detector has an AUROC above {max(means):.2f}, chance is 0.50")
    return f"the network has hardly learnt: {'; '.join(seen)}" if seen else ""


def sample(features: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """At most 2000 rows of (N, D), in their order; of those numbered in `among`, if given."""
    rows = np.arange(len(features)) if among is None else among
    if len(rows) > _SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, _SAMPLE, replace=False))
    return np.asarray(features[rows])
