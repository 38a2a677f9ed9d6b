"""Metrics of a resample, from how often each distinct score was drawn."""

import numpy as np

COLUMNS = ("auroc", "fpr95", "fpr95_idpos_first", "fpr95_idpos_nearest")
"""The metrics of `of_counts`, in its order."""

_RECALL = 0.95


def of_counts(id_counts: np.ndarray, ood_counts: np.ndarray) -> tuple[float, float, float, float]:
    """The metrics of `COLUMNS`, as `ood_metrics` would give them for the repeated scores.

    Args:
      id_counts: numbers (D,) of ID images with each distinct score, in ascending order of score.
      ood_counts: numbers (D,) of OOD images with each distinct score.
    """
    n, m = id_counts.sum(), ood_counts.sum()
    id_up_to, ood_up_to = np.cumsum(id_counts), np.cumsum(ood_counts)
    recall = n - id_up_to + id_counts  # ID images accepted from this score on
    accepted = m - ood_up_to + ood_counts
    auroc = np.sum(id_counts * (ood_up_to - 0.5 * ood_counts)) / (n * m)
    caught = np.searchsorted(ood_up_to, _RECALL * m)  # flag scores up to this one
    first = np.searchsorted(recall < _RECALL * n, True) - 1
    tightest = np.searchsorted(recall < n, True) - 1  # of the thresholds that accept every ID image
    nearest = tightest + np.argmin(np.abs(recall[tightest:] / n - _RECALL))
    return (
        float(auroc),
        float(id_up_to[caught] / n),
        float(accepted[first] / m),
        float(accepted[nearest] / m),
    )
