"""Hyper-parameters chosen on validation sets ("APS", Jingkang50/OpenOOD), off by default.

For every combination of a grid the detector is fitted anew and its AUROC of held-out ID against
validation OOD images taken; the first best one wins. It sees OOD images, which a detector otherwise
never does: results say so. The original reruns the network for each combination, and does not
refit, so it cannot search what only fitting uses (DICE's percentile, NNGuide's share).
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from adapt_jax import metrics
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data.set_names import OOD_VAL, VAL
from adapt_jax.evaluate import scoring

Grid = Mapping[str | tuple[str, ...], Sequence[Any]]  # a tuple's values go together

_SHAPING = (65, 70, 75, 80, 85, 90, 95)
_ODIN: Grid = {"temperature": (1, 10, 100, 1000), "noise": (0.0014, 0.0028)}
_ADASCALE = tuple(itertools.combinations((60, 65, 70, 75, 80, 85, 90, 95, 99), 2))
# OpenOOD v1.5's, the first parameter varying fastest.
GRIDS: dict[str, Grid] = {
    "adascale": {("low", "high"): _ADASCALE},
    "ash": {"percentile": _SHAPING},
    "fdbd": {"centered": (True, False)},
    "gen": {"gamma": (0.01, 0.1, 0.5, 1, 2, 5, 10), "top_m": (10, 50, 100, 200, 500, 1000)},
    "iodin": _ODIN,
    "knn": {"k": (50, 100, 200, 500, 1000)},
    "nci": {"alpha": (0.0001, 0.001, 0.01, 0.1)},
    "nnguide": {"k": (10, 50, 100, 200, 500, 1000)},
    "odin": _ODIN,
    "react": {"percentile": (85, 90, 95, 99)},
    "relation": {"power": (1, 2, 4, 6, 8)},
    "scale": {"percentile": _SHAPING},
    "vim": {"dim": (256, 1000)},
    "vra": {"upper": (85, 90, 95, 99), "lower": (1, 5, 10, 15)},
}


def choose(spec: Spec, task: scoring.Task, grid: Grid | None = None) -> dict[str, Any] | None:
    """The best combination of a detector's grid, and the AUROC of each.

    Args:
      spec: the detector; hyper-parameters that it fixes are not searched.
      task: the inputs of detectors, with the sets "val" and "ood_val".
      grid: values to try instead of OpenOOD's.

    Returns:
      {"chosen": {name: value}, "tried": [{name: value, "auroc": a}]}; combinations that cannot be
      used with these outputs have "refused" (the reason) in place of the AUROC. None where there is
      nothing to search.

    Raises:
      InputError: no combination can be used.
    """
    grid = GRIDS.get(spec.name, {}) if grid is None else grid
    grid = {k if isinstance(k, tuple) else (k,): values for k, values in grid.items()}
    grid = {keys: values for keys, values in grid.items() if not set(keys) & spec.params.keys()}
    if not grid:
        return None
    tried: list[dict[str, Any]] = []
    best_values, best, reason = None, 0.0, ""
    for values in itertools.product(*reversed(grid.values())):
        combination: dict[str, Any] = {}
        for keys, value in zip(grid, reversed(values)):
            combination |= dict(zip(keys, value if len(keys) > 1 else (value,)))
        try:
            score = scoring.fit(spec.make(**combination), task)
            id_scores, ood_scores = score(VAL), score(OOD_VAL)
            auroc = metrics.ood_metrics(id_scores, ood_scores)["auroc"]
        except InputError as e:
            reason = str(e)
            tried.append(combination | {"refused": reason})
            continue
        tried.append(combination | {"auroc": auroc})
        if auroc > best:
            best_values, best = combination, auroc
    if best_values is None:
        raise InputError(f"{spec.name}: no combination of the search can be used; {reason}")
    return {"chosen": best_values, "tried": tried}
