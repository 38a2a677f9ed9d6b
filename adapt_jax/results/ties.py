"""Rows of a table whose difference is not significant: tests of their scores, as sentences.

The rows of a group (near, far, ...) are one family: every pair is tested on the same images with
`metrics.comparison`, and all p-values are corrected together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import ID
from adapt_jax.metrics import comparison
from adapt_jax.results import tables
from adapt_jax.results.scores import load_scores

Name = tuple[str, ...]
Runs = Sequence[Mapping[str, np.ndarray]]


class Ties(NamedTuple):
    """The results of the tests of one group of OOD sets.

    metric, group: what was compared.
    tied: the groups of names that are not distinguishable, best first, each of two names or more.
    comparisons: how many pairs were tested, and corrected for.
    over: what was drawn at random: "images", or "images and seeds".
    """

    metric: str
    group: str
    tied: list[tuple[str, ...]]
    comparisons: int
    over: str


def find(
    scores: Mapping[Name, Runs], groups: Mapping[str, str], metric: str = "auroc"
) -> list[Ties]:
    """Tests all pairs, group by group.

    Args:
      scores: scores by row name, which ends in its detector: one mapping per seed from set names to
        the scores (N,) of the same images in the same order; "id" is the ID test set. Names that
        differ in the detector only are of the same trained networks, seed by seed.
      groups: group of each OOD set: "near", "far", ...
      metric: metric to test: "auroc", by DeLong's closed form, or one of
        `metrics.resampling.COLUMNS`.
    """
    ties = []
    for group in dict.fromkeys(groups.values()):
        sets = [name for name, of in groups.items() if of == group]
        names = [n for n, runs in scores.items() if all({ID, *sets} <= run.keys() for run in runs)]
        runs = [run for name in names for run in scores[name]]
        if len(names) < 2 or min(len(runs[0][s]) for s in (ID, *sets)) < 2:
            continue  # nothing to compare, or no image to see any variation on
        arrays = [np.stack([run[s] for run in runs]) for s in (ID, *sets)]
        if metric == "auroc":
            estimate = comparison.delong(arrays[0], arrays[1:])
        else:
            estimate = comparison.bootstrap(arrays[0], arrays[1:], metric)
        ends = np.cumsum([len(scores[name]) for name in names])
        members = [m.tolist() for m in np.split(np.arange(len(runs)), ends[:-1])]
        p_values = comparison.pairwise(estimate, members, [name[:-1] for name in names])
        tied = comparison.tie_groups(
            [estimate.values[m].mean() for m in members],
            p_values,
            larger_is_better=not metric.startswith("fpr"),
        )
        count = len(names) * (len(names) - 1) // 2
        over = "images and seeds" if min(map(len, members)) > 1 else "images"
        shown = [" / ".join(part for part in name if part) for name in names]
        named = [tuple(shown[i] for i in tie) for tie in tied if len(tie) > 1]
        ties.append(Ties(metric, group, named, count, over))
    return ties


def sentences(ties: Sequence[Ties]) -> list[str]:
    """One sentence per group of OOD sets."""
    lines = []
    for t in ties:
        level = f"at {100 * comparison.LEVEL:g} %"
        what = f"{t.group}, {tables.LABELS[t.metric]}"
        if t.tied:
            named = "; ".join(" = ".join(tie) for tie in t.tied)
            line = f"{what}: not distinguishable {level}: {named}"
        else:
            line = f"{what}: every difference is distinguishable {level}"
        pairs = f"{t.comparisons} pairs, Holm's correction" if t.comparisons > 1 else "one pair"
        lines.append(f"{line} (over {t.over}; {pairs})")
    return lines


def of_runs(
    folders: Mapping[str, Sequence[Path]], rows: Sequence[tables.Row], metric: str = "auroc"
) -> list[str]:
    """The sentences of finished runs, or the reason why their differences cannot be tested.

    Args:
      folders: folders of the runs by label of the method, one per seed, all with the same images.
      rows: result rows of any of them, for the detectors and the groups of the sets.
      metric: metric to test, see `find`.
    """
    groups = {r["ood"]: r["group"] for r in rows if r["ood"] != tables.MEAN}
    images: dict[str, np.ndarray] = {}
    scores: dict[Name, Runs] = {}
    adaptive: dict[str, None] = {}
    try:
        for label, runs in folders.items():
            for detector in dict.fromkeys(r["detector"] for r in rows):
                places = [folder / "scores" / detector for folder in runs]
                if not all((place / f"{ID}.npz").exists() for place in places):
                    adaptive |= {detector: None} if places[0].is_dir() else {}
                    continue
                scores_of_runs = [_scores(place, groups, images) for place in places]
                scores[label if len(folders) > 1 else "", detector] = scores_of_runs
    except InputError as e:
        return [f"differences were not tested: {e}"]
    if not scores and not adaptive:
        return ["differences were not tested: the folders of the runs hold no scores"]
    said = sentences(find(scores, groups, metric))
    if adaptive:
        said.append(
            "not tested, because their scores depend on the other images of the stream, which the "
            f"tests take as independent: {', '.join(adaptive)}"
        )
    return said


def _scores(
    folder: Path, groups: Mapping[str, str], images: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The scores of one detector by set; adds to `images` the names by set.

    Raises:
      InputError: a file is missing, or its images are not those of the runs before.
    """
    # Sets that no row is about are covariate-shifted ID images.
    shifted = sorted(p.stem for p in folder.glob("*.npz") if p.stem not in (ID, *groups))
    scores_by_set = {}
    for name in (ID, *shifted, *groups):
        loaded = load_scores(folder / f"{name}.npz")
        if not np.array_equal(images.setdefault(name, loaded.names), loaded.names):
            raise InputError(f"the images of set {name} in {folder} are not those of other runs")
        scores_by_set[name] = loaded.scores
    own = np.concatenate([scores_by_set[name] for name in (ID, *shifted)])
    return {name: scores_by_set[name] for name in groups} | {ID: own}
