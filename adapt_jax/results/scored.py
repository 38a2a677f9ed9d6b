"""The rows and scores of the detectors of an evaluation, and which detectors failed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.results import tables


class Scored(NamedTuple):
    """The results of the detectors, and which detectors failed.

    rows: result rows, each group's mean behind its sets.
    scores: detector -> set -> (N,) scores, "id" being the ID test set.
    seconds: detector -> {"fit", "score"}, compilation included.
    searched: detector -> what `search.choose` found.
    adapted: detector -> hyper-parameters that replace defaults which did not fit the network.
    failed: detectors requested by name that could not run, with the reason.
    unfit: detectors that "all" skipped, with the reason.
    """

    rows: list[tables.Row]
    scores: dict[str, dict[str, np.ndarray]]
    seconds: dict[str, dict[str, float]]
    searched: dict[str, dict[str, Any]]
    adapted: dict[str, dict[str, Any]]
    failed: dict[str, str]
    unfit: dict[str, str]


def lacking(scored: Scored) -> None:
    """Raises InputError if a detector that was asked for by name has no rows; says why."""
    if scored.failed:
        raise InputError("results lack: " + "; ".join(reasons(scored.failed)))


def reasons(failed: Mapping[str, str]) -> list[str]:
    """Each reason, with the detector's name where the message does not start with it."""
    return [e if e.startswith(d.partition("?")[0]) else f"{d}: {e}" for d, e in failed.items()]
