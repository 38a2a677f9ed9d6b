"""Detectors on the outputs of a network: fit, score every set, compare; one failure costs one."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data.set_names import ID, SHIFTED, VAL
from adapt_jax.detectors import Detector, Head, ImageDetector, Outputs
from adapt_jax.results import bootstrap, result_rows, tables
from adapt_jax.results.scored import Scored, reasons
from adapt_jax.runtime import processes

# What arithmetic and full memories answer with.
_FAILURES = (np.linalg.LinAlgError, FloatingPointError, MemoryError, jax.errors.JaxRuntimeError)

OnImages = Callable[[Callable], Callable[..., np.ndarray]]


class Task(NamedTuple):
    """What detectors are given.

    train: what they are fitted on; `head`: the classifier, where there is one.
    sets: outputs by name: "id" is the ID test set, "val" held-out ID images, "ood_val" OOD images
      that only a hyper-parameter search may see; the others are named in `groups`.
    groups: group of every OOD set; those of group "shifted" belong to the ID side.
    on_images: function of (network, pixels) -> function of (name of a set, limit) -> values; None
      where there are outputs but no images.
    """

    train: Outputs
    head: Head | None
    sets: Mapping[str, Outputs]
    groups: Mapping[str, str]
    on_images: OnImages | None = None


def fit(detector: Detector | ImageDetector, task: Task) -> Callable[[str], np.ndarray]:
    """Fits a detector and returns its score of a set by name: (N,), larger = more in-distribution.

    Raises:
      InputError: the detector cannot work with these outputs.
    """
    if isinstance(detector, ImageDetector):
        if task.head is None:
            raise InputError("needs a network with a classifier")
        if task.on_images is None:
            raise InputError("needs images and the network, there are only its outputs")
        measured = None
        if detector.measure is not None:
            measured = task.on_images(detector.measure)(VAL, detector.maximum_val)
        return task.on_images(partial(detector.score, detector.fit(measured)))
    state = detector.fit(task.train, val=task.sets.get(VAL), head=task.head)
    return lambda name: detector.score(state, task.sets[name])


def run(
    specs: Sequence[Spec],
    task: Task,
    *,
    choose: Callable[[Spec, Task], dict[str, Any] | None] | None = None,
    resamples: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Scored:
    """Scores every set with every detector.

    Args:
      specs: the detectors.
      task: the outputs.
      choose: searches hyper-parameters: `search.choose`, or None to take them as they are.
      resamples: of the bootstrap behind the intervals in each row; 0 for none.
      say: told what is being done.

    Raises:
      InputError: no detector at all could be used; says why.
    """
    done = Scored([], {}, {}, {}, {}, {})
    for i, spec in enumerate(specs):
        say(f"{spec.text} ({i + 1} of {len(specs)})")
        try:
            began = time.perf_counter()
            found = choose(spec, task) if choose else None
            score = fit(spec.make(**(found or {}).get("chosen", {})), task)
            ready = time.perf_counter()
            by_set = {name: score(name) for name in (ID, *task.groups)}
            ended = time.perf_counter()
            rows = _rows(spec.text, by_set, task.groups, found, resamples)
        except (InputError, *_FAILURES) as e:  # one failure must not lose the others' results
            processes.leave_if_lost(e)
            reason = str(e) if isinstance(e, InputError) else f"{type(e).__name__}: {e}"
            (done.failed if spec.named else done.unfit)[spec.text] = reason.splitlines()[0]
            continue
        done.scores[spec.text] = by_set
        done.rows.extend(rows)
        done.seconds[spec.text] = {"fit": ready - began, "score": ended - ready}
        if found:
            done.searched[spec.text] = found
    if not done.rows:
        raise InputError("; ".join(reasons({**done.failed, **done.unfit})))
    return done


def _rows(name, by_set, groups, found, resamples) -> list[tables.Row]:
    """The rows of the OOD sets, each group's mean behind them."""
    shifted = [s for s, group in groups.items() if group == SHIFTED]
    for s in shifted:
        result_rows.check_scores(by_set[s], name, s)
    id_scores = np.concatenate([by_set[ID], *(by_set[s] for s in shifted)])
    extra = {"searched": found["chosen"]} if found else {}
    rows = []
    for s, group in groups.items():
        if group == SHIFTED:
            continue
        rows.append(result_rows.row(name, s, group, id_scores, by_set[s], **extra))
    return bootstrap.with_means(rows, [(id_scores, by_set[r["ood"]]) for r in rows], resamples)
