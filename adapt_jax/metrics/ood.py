"""OOD metrics of two score arrays, every convention in use under its own name.

The literature's "FPR95" is four different numbers and its "AUPR" two; they can differ by tens of
points on the same scores. Sources: Jingkang50/OpenOOD (v1.5), XueJiang16/NegLabel (the helper that
JINHYUKSUH/ADAPT and deeplearning-wisc/cider share), jeff024/PALM.
"""

import numpy as np
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

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
    id_roc = roc_curve(is_id, scores, drop_intermediate=False)
    return {
        "auroc": float(auc(id_roc[0], id_roc[1])),
        "fpr95": _fpr_first(~is_id, -scores),
        "fpr95_idpos_first": _fpr_first(is_id, scores),
        "fpr95_idpos_nearest": _fpr_nearest(*id_roc[:2]),
        "fpr95_idpos_pct": float(np.mean(ood_scores > np.percentile(id_scores, 5))),
        "aupr_in": _trapezoid_pr(is_id, scores),
        "aupr_out": _trapezoid_pr(~is_id, -scores),
        "ap_in": float(average_precision_score(is_id, scores)),
        "ap_out": float(average_precision_score(~is_id, -scores)),
        "n_id": int(id_scores.size),
        "n_ood": int(ood_scores.size),
    }


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


def _fpr_first(positive: np.ndarray, scores: np.ndarray) -> float:
    """False-positive rate at the first *kept* ROC point with recall >= 0.95 (OpenOOD).

    `drop_intermediate=True` is part of this definition, not an optimisation: it removes collinear
    points, so where ties give equal steps the first kept point can lie beyond 95 %.
    """
    fpr, tpr, _ = roc_curve(positive, scores, drop_intermediate=True)
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


def _trapezoid_pr(positive: np.ndarray, scores: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(positive, scores)
    return float(auc(recall, precision))
