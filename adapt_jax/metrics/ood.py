"""OOD metrics of two score arrays, every convention in use under its own name.

The literature's "FPR95" is four different numbers and its "AUPR" two; they can differ by tens of
points on the same scores. Sources: Jingkang50/OpenOOD (v1.5), XueJiang16/NegLabel (the helper that
JINHYUKSUH/ADAPT and deeplearning-wisc/cider share), jeff024/PALM.
"""

import numpy as np

from adapt_jax.core.errors import InputError

COLUMNS = (
    ("auroc", "area under the ROC curve; ties count one half"),
    ("fpr95", "OOD positive: share of ID images rejected along with 95 % of OOD images"),
    (
        "fpr95_idpos_first",
        "ID positive: share of OOD images accepted along with 95 % of ID images",
    ),
    ("fpr95_idpos_nearest", "ID positive, at the ID recall nearest to 95 %, loosest threshold"),
    ("fpr95_idpos_pct", "ID positive: share of OOD scores above the 5th percentile of ID scores"),
    ("aupr_in", "area under the precision-recall curve by trapezoids, ID positive"),
    ("aupr_out", "area under the precision-recall curve by trapezoids, OOD positive"),
    ("ap_in", "average precision (step sum), ID positive"),
    ("ap_out", "average precision (step sum), OOD positive"),
    ("n_id", "number of ID images"),
    ("n_ood", "number of OOD images"),
)
"""(name, one-line description) of every key of `ood_metrics`, in its order."""

_RECALL = 0.95


def ood_metrics(id_scores, ood_scores) -> dict[str, float | int]:
    """Compares ID with OOD scores; computed in float64 on the host.

    Args:
      id_scores: scores (N,) of any real dtype, larger = more in-distribution.
      ood_scores: scores (M,) of any real dtype, larger = more in-distribution.

    Returns:
      The keys of `COLUMNS`: fractions in [0, 1] as float, counts as int.

    Raises:
      InputError: a side is empty, not one-dimensional, or holds NaN or infinity.
    """
    id_scores = _checked(id_scores, "ID")
    ood_scores = _checked(ood_scores, "OOD")
    scores = np.concatenate([id_scores, ood_scores])
    is_id = np.arange(scores.size) < id_scores.size
    loose = _counts(is_id, scores)
    strict = _counts(~is_id, -scores)
    fpr, tpr = _roc(*loose)
    return {
        "auroc": float(np.trapezoid(tpr, fpr)),
        "fpr95": _fpr_first(*strict),
        "fpr95_idpos_first": _fpr_first(*loose),
        "fpr95_idpos_nearest": _fpr_nearest(fpr, tpr),
        "fpr95_idpos_pct": float(np.mean(ood_scores > np.percentile(id_scores, 5))),
        "aupr_in": _trapezoid_pr(*loose),
        "aupr_out": _trapezoid_pr(*strict),
        "ap_in": _average_precision(*loose),
        "ap_out": _average_precision(*strict),
        "n_id": int(id_scores.size),
        "n_ood": int(ood_scores.size),
    }


def roc_curve(id_scores: np.ndarray, ood_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of OOD and of ID images accepted, (K,) each, from none to all, where it bends.

    Args:
      id_scores: finite scores (N,), larger = more in-distribution.
      ood_scores: finite scores (M,).
    """
    scores = np.concatenate([id_scores, ood_scores])
    return _roc(*_bends(*_counts(np.arange(scores.size) < len(id_scores), scores)))


def _checked(scores, side: str) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.ndim != 1:
        raise InputError(f"{side} scores must have shape (N,), got {scores.shape}")
    if scores.size == 0:
        raise InputError(f"there are no {side} scores (0 given); a metric needs at least one")
    scores = scores.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise InputError(
            f"{bad} of {scores.size} {side} scores are NaN or infinite; find out which detector "
            "and set they come from before comparing them"
        )
    return scores


def _counts(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each distinct score as threshold, from the tightest on, (K,)."""
    order = np.argsort(scores, kind="stable")[::-1]
    last = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)  # of equal scores
    true = np.cumsum(positive[order], dtype=np.float64)[last]
    return true, 1.0 + last - true


def _roc(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates, from the point (0, 0) on, at which nothing is accepted."""
    return np.append(0.0, false) / false[-1], np.append(0.0, true) / true[-1]


def _bends(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the points between two others on a line, which scikit-learn leaves out, too."""
    bends = (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0)
    kept = np.concatenate([[True], bends, [True]]) if len(true) > 2 else slice(None)
    return true[kept], false[kept]


def _fpr_first(true: np.ndarray, false: np.ndarray) -> float:
    """False-positive rate at the first *kept* ROC point with recall >= 0.95 (OpenOOD).

    Which points scikit-learn's `roc_curve` keeps is part of this definition: it drops collinear
    ones, so where ties give equal steps the first kept point can lie beyond 95 %.
    """
    fpr, tpr = _roc(*_bends(true, false))
    return float(fpr[np.argmax(tpr >= _RECALL)])


def _fpr_nearest(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """False-positive rate where recall is nearest to 0.95, on a full ROC (ADAPT, CIDER, NegLabel).

    The original walks from loose to tight thresholds and starts at the tightest one with full
    recall. So a plateau of equal recall counts at its loosest end, except recall 1 at its
    tightest; of two recalls equally near, the larger wins.
    """
    full = int(np.argmax(tpr >= 1.0))
    fpr, tpr = fpr[full::-1], tpr[full::-1]
    return float(fpr[np.argmin(np.abs(tpr - _RECALL))])


def _precision_recall(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From the tightest threshold on, after the point of precision 1 and recall 0."""
    return np.append(1.0, true / (true + false)), np.append(0.0, true / true[-1])


def _trapezoid_pr(true: np.ndarray, false: np.ndarray) -> float:
    precision, recall = _precision_recall(true, false)
    return float(np.trapezoid(precision, recall))


def _average_precision(true: np.ndarray, false: np.ndarray) -> float:
    precision, recall = _precision_recall(true, false)
    return float(np.sum(np.diff(recall) * precision[1:]))
