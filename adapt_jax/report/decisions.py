"""Decisions with a guarantee, for the report: what a conformal threshold rejects of every set."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import id_side, ood_side
from adapt_jax.metrics import conformal

LEVELS = (0.01, 0.05, 0.1)


def table(scores: Mapping[str, np.ndarray], groups: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row per level: its guarantee, its threshold, and the share of each OOD set it rejects.

    The ID test images calibrate. Rows are missing where these are too few for a level, and all of
    them where ID images have no scores of their own (detectors that adapt to a stream).

    Args:
      scores: scores (N,) of one detector by set, the ID test set under "id".
      groups: the group of every other set.
    """
    own = [scores.get(name) for name in id_side(groups)]
    if any(values is None for values in own):
        return []
    calibration = np.concatenate([np.asarray(values, np.float64) for values in own])
    rows = []
    for alpha in LEVELS:
        try:
            promise = conformal.guarantee(calibration.size, alpha)
        except InputError:
            continue
        rejected = {
            name: float(
                np.mean(conformal.reject(conformal.p_values(calibration, scores[name]), alpha))
            )
            for name in ood_side(groups)
        }
        threshold = conformal.threshold(calibration, alpha)
        rows.append({"promise": promise, "threshold": threshold, "rejected": rejected})
    return rows
