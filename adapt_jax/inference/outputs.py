"""Arrays of a forward pass as the `Outputs` that detectors take."""

import numpy as np

from adapt_jax.detectors import Outputs
from adapt_jax.inference import forward
from adapt_jax.methods.base import Method


def as_outputs(arrays: forward.Arrays) -> Outputs:
    """What detectors see of a set."""
    return Outputs(arrays["features"], arrays.get("logits"), arrays.get("labels"))


def training_outputs(arrays: forward.Arrays, method: Method, method_state) -> Outputs:
    """What detectors are fitted on: labels, or the clusters of a method that finds its own.

    Clusters are numbered without gaps. Before the first clustering all images are in one.
    """
    outputs = as_outputs(arrays)
    assignment = getattr(method_state, "assignment", None)
    if method.label_kind == "indices" and assignment is not None:
        _, clusters = np.unique(np.asarray(assignment), return_inverse=True)
        outputs = outputs._replace(labels=clusters.astype(np.int32))
    return outputs


def joined(parts: list[Outputs]) -> Outputs:
    """Outputs of several sets as of one; logits and labels where all have them."""

    def rows(field):
        arrays = [getattr(p, field) for p in parts]
        return None if any(a is None for a in arrays) else np.concatenate(arrays)

    return Outputs(*map(rows, Outputs._fields))
