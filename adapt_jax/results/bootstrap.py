"""Bootstrap intervals: how far a metric would move with other test images of the same kind.

ID and OOD images are drawn anew, with replacement, each from their own set (Efron's percentile
interval). It says nothing about other training seeds; several runs do.
"""

import numpy as np

from adapt_jax.config.fields import check_bootstrap
from adapt_jax.core.errors import InputError

COLUMNS = ("auroc", "fpr95", "fpr95_idpos_first")
_RECALL = 0.95


def intervals(
    id_scores, ood_scores, resamples: int = 1000, *, level: float = 0.95, seed: int = 0
) -> dict[str, float]:
    """`<metric>_low` and `<metric>_high` for `COLUMNS`, as fractions.

    Args:
      id_scores: (N,) finite, larger = more in-distribution.
      ood_scores: (M,) likewise.
      resamples: how many times both are drawn.
      level: share of the resamples inside the interval.
      seed: of the draws.

    Raises:
      InputError: one resample or less than none, or a level outside (0, 1).
    """
    check_bootstrap(resamples)
    if not 0 < level < 1:
        raise InputError(f"bootstrap: level must lie between 0 and 1, got {level}.")
    scores = np.concatenate([np.asarray(id_scores), np.asarray(ood_scores)])
    values, where = np.unique(scores, return_inverse=True)
    of_id, of_ood = where[: len(id_scores)], where[len(id_scores) :]
    rng = np.random.default_rng(seed)
    drawn = np.array([
        _metrics(_draw(rng, of_id, len(values)), _draw(rng, of_ood, len(values)))
        for _ in range(resamples)
    ])  # fmt: skip
    tail = 50 * (1 - level)
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
    found = {}
    for name, a, b in zip(COLUMNS, low, high):
        found |= {f"{name}_low": float(a), f"{name}_high": float(b)}
    return found


def _draw(rng, members: np.ndarray, size: int) -> np.ndarray:
    """How often each distinct score is drawn."""
    return np.bincount(members[rng.integers(len(members), size=len(members))], minlength=size)


def _metrics(of_id: np.ndarray, of_ood: np.ndarray) -> tuple[float, float, float]:
    """AUROC and both FPR95s of counts per distinct score, in ascending order of score."""
    n, m = of_id.sum(), of_ood.sum()
    id_up_to, ood_up_to = np.cumsum(of_id), np.cumsum(of_ood)
    auroc = np.sum(of_id * (ood_up_to - 0.5 * of_ood)) / (n * m)
    caught = np.searchsorted(ood_up_to, _RECALL * m)  # flag scores up to this one
    kept = np.searchsorted(n - id_up_to + of_id < _RECALL * n, True) - 1  # accept from this one on
    fpr_idpos = (m - ood_up_to[kept] + of_ood[kept]) / m
    return float(auroc), float(id_up_to[caught] / n), float(fpr_idpos)
