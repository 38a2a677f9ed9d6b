"""Selective classification: how many errors are left when the least certain images are rejected.

At coverage k/N the k images with the largest scores are accepted; their mean loss is the risk
(Geifman and El-Yaniv 2017), and that times the coverage the generalised risk (Traub et al. 2024).
Jointly with OOD detection, accepting an OOD image costs as well (Xia and Bouganis 2022; Narasimhan
et al. 2024). Definitions as in torch-uncertainty/torch-uncertainty 0.13 (AURC, AUGRC, SCODAURC,
SCODAUGRC and the rest of their family), except that among images of equal score theirs depends on
the order of the images and ours is the mean over all orders, and that no coverage is 0 for us and
NaN for them.
"""

import numpy as np

from adapt_jax.core.errors import InputError

COLUMNS = (
    ("aurc", "area under the risk of wrong classes over coverages; ID images only"),
    ("augrc", "area under the generalised risk of wrong classes; ID images only"),
    ("scod_aurc", "area under the risk of a wrong class or an OOD image, 0.5 each"),
    ("scod_augrc", "area under the generalised risk of a wrong class or an OOD image, 0.5 each"),
)
"""(name, one-line description) of every key of `selective_metrics`; less is better."""


def selective_metrics(id_scores, id_errors, ood_scores) -> dict[str, float]:
    """How well scores reject what is classified wrongly, without and with OOD images.

    Args:
      id_scores: scores (N,), N >= 2, larger = more in-distribution.
      id_errors: bool (N,), whether the class of an ID image is predicted wrongly.
      ood_scores: scores (M,).

    Returns:
      The keys of `COLUMNS`: fractions in [0, 1].
    """
    losses = joint_losses(id_errors, len(ood_scores))
    together = np.concatenate([np.asarray(id_scores), np.asarray(ood_scores)])
    return {
        "aurc": aurc(id_scores, id_errors),
        "augrc": augrc(id_scores, id_errors),
        "scod_aurc": aurc(together, losses),
        "scod_augrc": augrc(together, losses),
    }


def joint_losses(id_errors, num_ood: int, ood_cost: float = 0.5) -> np.ndarray:
    """The losses (N + M,) of accepting ID and OOD images, ID first.

    Args:
      id_errors: bool (N,), whether the class of an ID image is predicted wrongly.
      num_ood: number M of OOD images.
      ood_cost: loss of accepting an OOD image, in [0, 1]; that of accepting a misclassified ID
        image is 1 - ood_cost.

    Raises:
      InputError: a cost outside [0, 1].
    """
    if not 0 <= ood_cost <= 1:
        raise InputError(f"ood_cost lies between 0 and 1, got {ood_cost}")
    errors = np.asarray(id_errors, np.float64)
    return np.concatenate([(1 - ood_cost) * errors, np.full(num_ood, float(ood_cost))])


def risks(scores, losses) -> np.ndarray:
    """The risk at every coverage 1/N, 2/N, ..., 1.

    Args:
      scores: finite scores (N,), larger = accepted earlier.
      losses: losses (N,) of accepting each image: whether its class is wrong, or from
        `joint_losses`.

    Returns:
      (N,) float64.

    Raises:
      InputError: different shapes, no image, or NaN or infinity.
    """
    scores, losses = np.asarray(scores, np.float64), np.asarray(losses, np.float64)
    if scores.ndim != 1 or scores.shape != losses.shape or not scores.size:
        raise InputError(
            "risks need scores and losses of one shape (N,) with at least one image, "
            f"got {scores.shape} and {losses.shape}"
        )
    if not (np.isfinite(scores).all() and np.isfinite(losses).all()):
        raise InputError("risks need finite scores and losses, some are NaN or infinite")
    _, tied, count = np.unique(-scores, return_inverse=True, return_counts=True)
    expected = np.bincount(tied, losses) / count  # of each image in a tie
    return np.cumsum(np.repeat(expected, count)) / np.arange(1, scores.size + 1)


def aurc(scores, losses) -> float:
    """The area under the risk over coverages from 1/N to 1, divided by their width.

    Args:
      scores: finite scores (N,), N >= 2, larger = accepted earlier.
      losses: losses (N,) of accepting each image.
    """
    return _area(risks(scores, losses))


def augrc(scores, losses) -> float:
    """The area under the generalised risk over coverages from 1/N to 1, divided by their width.

    Args:
      scores: finite scores (N,), N >= 2, larger = accepted earlier.
      losses: losses (N,) of accepting each image.
    """
    selective_risks = risks(scores, losses)
    return _area(selective_risks * np.arange(1, selective_risks.size + 1) / selective_risks.size)


def coverage_at_risk(scores, losses, risk: float = 0.05) -> float:
    """The largest coverage whose risk is at most `risk`; 0 if there is none.

    Args:
      scores: finite scores (N,), larger = accepted earlier.
      losses: losses (N,) of accepting each image.
      risk: largest mean loss allowed.
    """
    selective_risks = risks(scores, losses)
    return float(
        np.max(np.flatnonzero(selective_risks <= risk) + 1, initial=0) / selective_risks.size
    )


def risk_at_coverage(scores, losses, coverage: float = 0.8) -> float:
    """The risk at the smallest coverage that is at least `coverage`.

    Args:
      scores: finite scores (N,), larger = accepted earlier.
      losses: losses (N,) of accepting each image.
      coverage: share of images accepted, in (0, 1].

    Raises:
      InputError: a coverage outside (0, 1].
    """
    if not 0 < coverage <= 1:
        raise InputError(f"coverage lies in (0, 1], got {coverage}")
    selective_risks = risks(scores, losses)
    return float(selective_risks[int(np.ceil(selective_risks.size * coverage)) - 1])


def _area(curve: np.ndarray) -> float:
    if curve.size < 2:
        raise InputError("an area under a risk curve needs at least two images")
    return float(np.mean((curve[1:] + curve[:-1]) / 2))
