"""What became of the detectors of an evaluation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.results import tables


class Scored(NamedTuple):
    """What became of the detectors.

    rows: result rows, each group's mean behind its sets.
    scores: detector -> set -> (N,) scores, "id" being the ID test set.
    seconds: detector -> {"fit", "score"}, compilation included.
    searched: detector -> what `search.choose` found.
    failed: what was asked for by name and why it could not be had; `unfit`: what "all" left out.
    """

    rows: list[tables.Row]
    scores: dict[str, dict[str, np.ndarray]]
    seconds: dict[str, dict[str, float]]
    searched: dict[str, dict[str, Any]]
    failed: dict[str, str]
    unfit: dict[str, str]


def lacking(scored: Scored) -> None:
    """Raises InputError if a detector that was asked for by name has no rows; says why."""
    if scored.failed:
        raise InputError("results lack: " + "; ".join(reasons(scored.failed)))


def reasons(failed: Mapping[str, str]) -> list[str]:
    """Each reason, with the detector's name where the message does not start with it."""
    return [e if e.startswith(d.partition("?")[0]) else f"{d}: {e}" for d, e in failed.items()]
