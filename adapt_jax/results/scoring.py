"""The loop that scores every set with every detector; a failing detector loses its own rows only.

The caller fits the detectors and computes their scores: `evaluate.scoring` for outputs of networks,
`zero_shot.scoring` for CLIP embeddings.
"""

import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data.set_names import id_side, ood_side
from adapt_jax.metrics import selective
from adapt_jax.results import bootstrap, result_rows, tables
from adapt_jax.results.scored import Scored, reasons
from adapt_jax.runtime import processes

# Arithmetic that fails, and memory that is full.
FAILURES = (np.linalg.LinAlgError, FloatingPointError, MemoryError, jax.errors.JaxRuntimeError)


class FittedDetector(NamedTuple):
    """A detector that is ready to score.

    score: function without arguments that returns the scores (N,) by key, larger = more
      in-distribution. A key is the name of a set or, see `in_streams`, of a stream.
    in_streams: whether ID images have scores of their own beside every OOD set, under
      `stream_key(ID set, OOD set)`, instead of one for all of them under the ID set's name.
    fields: what every row says about the detector.
    searched: what `search.choose` found, None where nothing was searched.
    adapted: hyper-parameters that replace defaults which did not fit the network.
    errors: ID set -> bool (N,), whether each image is classified wrongly; where it is given, rows
      have the columns of `metrics.selective`.
    """

    score: Callable[[], dict[str, np.ndarray]]
    in_streams: bool = False
    fields: Mapping[str, Any] = types.MappingProxyType({})
    searched: dict[str, Any] | None = None
    adapted: Mapping[str, Any] = types.MappingProxyType({})
    errors: Mapping[str, np.ndarray] = types.MappingProxyType({})


def stream_key(id_set: str, ood_set: str) -> str:
    """The key of the scores that images of an ID set have in the stream of an OOD set."""
    return f"{id_set}-{ood_set}"


def run(
    specs: Sequence[Spec],
    fit: Callable[[Spec], FittedDetector],
    groups: Mapping[str, str],
    *,
    resamples: int = 0,
    report_progress: Callable[[str], None] = lambda text: None,
) -> Scored:
    """Scores every set with every detector.

    A detector that cannot use these inputs, whose arithmetic fails or which runs out of memory only
    loses its own rows.

    Args:
      specs: the detectors.
      fit: function that makes a detector of `specs` ready to score.
      groups: the group of every set beside the ID test set; see `set_names.id_side`.
      resamples: number of bootstrap resamples behind the intervals in each row; 0 for none.
      report_progress: function called with a line about the detector that is scored.

    Returns:
      The results of every detector.

    Raises:
      InputError: no detector at all could be used; says why.
    """
    done = Scored([], {}, {}, {}, {}, {}, {})
    for i, spec in enumerate(specs):
        report_progress(f"{spec.text} ({i + 1} of {len(specs)})")
        try:
            began = time.perf_counter()
            fitted = fit(spec)
            ready = time.perf_counter()
            scores = fitted.score()
            ended = time.perf_counter()
            rows = _rows(spec.text, fitted, scores, groups, resamples)
        except (InputError, *FAILURES) as e:  # one failure must not lose the others' results
            processes.leave_if_lost(e)
            reason = str(e) if isinstance(e, InputError) else f"{type(e).__name__}: {e}"
            (done.failed if spec.named else done.unfit)[spec.text] = reason.splitlines()[0]
            continue
        done.scores[spec.text] = scores
        done.rows.extend(rows)
        done.seconds[spec.text] = {"fit": ready - began, "score": ended - ready}
        if fitted.adapted:
            done.adapted[spec.text] = dict(fitted.adapted)
        if fitted.searched:
            done.searched[spec.text] = fitted.searched
    if not done.rows:
        raise InputError("; ".join(reasons({**done.failed, **done.unfit})))
    return done


def _rows(
    detector: str,
    fitted: FittedDetector,
    scores: Mapping[str, np.ndarray],
    groups: Mapping[str, str],
    resamples: int,
) -> list[tables.Row]:
    """The rows of the OOD sets, each group's mean behind them."""
    rows, compared = [], []
    for name in ood_side(groups):
        keys = id_side(groups)
        if fitted.in_streams:
            keys = [stream_key(own, name) for own in keys]
        id_scores = np.concatenate(
            [result_rows.check_scores(scores[key], detector, key) for key in keys]
        )
        compared.append((id_scores, scores[name]))
        row = result_rows.row(detector, name, groups[name], *compared[-1], **fitted.fields)
        if fitted.errors:
            wrong = np.concatenate([fitted.errors[own] for own in id_side(groups)])
            row |= selective.selective_metrics(id_scores, wrong, scores[name])
        rows.append(row)
    return bootstrap.with_means(rows, compared, resamples)
