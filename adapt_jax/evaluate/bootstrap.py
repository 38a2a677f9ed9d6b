"""Bootstrap intervals: how far a metric would move with other test images of the same kind.

ID and OOD images are drawn anew, with replacement, each from their own set (Efron's percentile
interval). It says nothing about other training seeds; several runs do.
"""

import numpy as np

from adapt_jax.config.fields import check_bootstrap
from adapt_jax.core.errors import InputError
from adapt_jax.metrics import resampling


def intervals(
    id_scores, ood_scores, resamples: int = 1000, *, level: float = 0.95, seed: int = 0
) -> dict[str, float]:
    """`<metric>_low` and `<metric>_high` for `resampling.COLUMNS`, as fractions.

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
        resampling.of_counts(_draw(rng, of_id, len(values)), _draw(rng, of_ood, len(values)))
        for _ in range(resamples)
    ])  # fmt: skip
    tail = 50 * (1 - level)
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
    found = {}
    for name, a, b in zip(resampling.COLUMNS, low, high):
        found |= {f"{name}_low": float(a), f"{name}_high": float(b)}
    return found


def _draw(rng, members: np.ndarray, size: int) -> np.ndarray:
    """How often each distinct score is drawn."""
    return np.bincount(members[rng.integers(len(members), size=len(members))], minlength=size)
