"""The training curves of a run's page: one plot per recorded field, and what the field means."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from adapt_jax.report import plots

MOST = 12  # plots on a page
_AXES = ("epoch", "step")
_NOT_SHOWN = (*_AXES, "time")

EXPLAINED = {
    "loss": "what training minimises",
    "learning_rate": "of the optimiser at that step",
    "gradient_norm": "Euclidean length of the gradient",
    "skipped": "share of steps without an update, because a number was not finite",
    "images_per_second": "training images, all views of an image counted once",
    "accuracy": "of the classifier on the training views",
    "mle": "loss of the samples, against the prototypes of their own class",
    "proto_contra": "loss of the prototypes, which pushes classes apart, times lambda_pcon",
    "alignment": "mean cosine between a prototype and the update it is given",
    "tau": "temperature of the prototype contrast, set by the alignment",
    "compactness": "loss that draws samples to the prototype of their class, before its weight",
    "dispersion": "loss that pushes the prototypes of different classes apart",
    "pos_lse": "log-sum-exp over the weighted positive pairs",
    "neg_lse": "log-sum-exp over the weighted negative pairs",
    "local": "loss of the contrast with samples of the same cluster, before its weight",
    "centre": "loss of the contrast with the cluster centres, before its weight",
    "positives": "mean number of positives of a sample",
}


def panels(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, Markup]]:
    """(field, meaning, last value, plot) of every numeric field, the loss and its rate first."""
    fields = dict.fromkeys(k for record in history for k in record if k not in _NOT_SHOWN)
    first = {"loss": 0, "learning_rate": 1}
    shown = []
    for field in sorted(fields, key=lambda k: first.get(k, 2)):
        records = [r for r in history if _is_number(r.get(field))]
        axis = next((a for a in _AXES if all(_is_number(r.get(a)) for r in records)), "")
        x = [r[axis] for r in records] if axis else range(len(records))
        if records:
            y = np.array([r[field] for r in records], np.float64)
            svg = plots.curve(np.array(x, np.float64), y, axis or "record")
            shown.append((field, EXPLAINED.get(field, ""), f"{y[-1]:.4g}", Markup(svg)))
    return shown[:MOST]


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
