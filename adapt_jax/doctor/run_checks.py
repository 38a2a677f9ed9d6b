"""Checks of a finished run's network, results and scores, on plain arrays.

Each check returns findings: one sentence with the numbers it saw and, unless all is well, what to
do. A value beyond a threshold deserves a closer look but is not necessarily a mistake. Nothing here
reads files or runs a network; `doctor.job` does. `set_checks` has the checks of features and
images.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from adapt_jax import metrics
from adapt_jax.core.arrays import unit_rows
from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import ID
from adapt_jax.doctor.findings import FAIL, OK, WARN, Finding
from adapt_jax.results import result_rows, tables

SATURATED, TIED = 0.05, 0.1  # share of scores
REDERIVED = 1e-4  # float32 on disk against what was scored
EVALUATE = "evaluate the run again"


def findings_of(what: str, fine: str, *problems: tuple[Any, str, str, str]) -> list[Finding]:
    """Findings for the problems (does it hold, status, detail, remedy) that hold, else one OK."""
    bad = [Finding(status, what, *text) for holds, status, *text in problems if holds]
    return bad or [Finding(OK, what, fine)]


def blocks(rows: np.ndarray, size: int = 8192) -> Iterator[tuple[slice, np.ndarray]]:
    """Successive rows and where they are."""
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        yield part, np.asarray(rows[part])


def mean_cosine(unit: np.ndarray) -> float:
    """Mean product over pairs of different rows (N, D), from the length of their sum."""
    total, n = unit.sum(axis=0, dtype=np.float64), len(unit)
    return float((total @ total - np.sum(unit * unit)) / (n * (n - 1))) if n > 1 else 1.0


def weights(arrays: Mapping[str, np.ndarray]) -> list[Finding]:
    """Parameters, statistics and prototypes by name: all finite."""
    bad = {name: n for name, a in arrays.items() if (n := np.size(a) - np.isfinite(a).sum())}
    total = sum(np.size(a) for a in arrays.values())
    first = next(iter(bad), "")
    return findings_of(
        "checkpoint",
        f"{total:,} values in {len(arrays)} arrays, all finite",
        (
            bad,
            FAIL,
            f"{sum(bad.values()):,} of {total:,} values are NaN or infinite, first in {first}",
            "train again with a lower learning rate, or evaluate --checkpoint=best",
        ),
    )


def same_checkpoint(checkpoint: str, recorded: str) -> list[Finding]:
    """Whether results are of this checkpoint, by digests."""
    return findings_of(
        "checkpoint and results",
        f"results are of this checkpoint, {checkpoint[:12]}",
        (
            checkpoint != recorded,
            FAIL,
            f"results are of checkpoint {recorded[:12]}, the run holds {checkpoint[:12]}",
            EVALUATE,
        ),
    )


def unchanged(was: str | None, now: str, what: str = "training images") -> list[Finding]:
    """Whether something is as it was, by digests; nothing to say where the first is unknown."""
    if was is None:
        return []
    problem = (was != now, FAIL, "not those the run was made with", "restore them")
    return findings_of(what, f"those the run was made with, {now[:12]}", problem)


def length(step: int, total: int) -> list[Finding]:
    """Whether training reached its last step."""
    done = f"trained {step:,} of {total:,} steps"
    problem = (step < total, WARN, done, "resume training with the same command")
    return findings_of("training", done, problem)


def accuracy(classes: int, accuracies: Mapping[str, float]) -> list[Finding]:
    """Accuracies on the ID test set by what predicts, against chance and each other."""
    shown = ", ".join(f"{by} {value:.1%}" for by, value in accuracies.items())
    shown = f"{shown}; chance is {1 / classes:.1%}"
    low = min(accuracies.values()) < (2 / classes if classes > 2 else 0.6)
    apart = max(accuracies.values()) - min(accuracies.values())
    return findings_of(
        "ID accuracy",
        shown,
        (
            low,
            FAIL if classes > 2 else WARN,
            f"close to chance: {shown}",
            "the network does not know its own classes: train longer, check labels and test_data",
        ),
        (
            not low and apart > 0.25,
            WARN,
            f"they disagree: {shown}",
            "prefer detectors on what works better (logits or features), or train longer",
        ),
    )


def prototypes(embeddings: np.ndarray, labels: np.ndarray, protos: np.ndarray) -> list[Finding]:
    """Whether prototypes (K, C, D) or (C, D) describe training embeddings (N, D), labels (N,)."""
    classes = protos.shape[-2]
    protos = unit_rows(protos.reshape(-1, protos.shape[-1]))  # p belongs to class p mod C
    of_class = np.arange(len(protos)) % classes
    used, right, aligned = np.zeros(len(protos), int), 0, 0.0
    for part, rows in blocks(embeddings, 2048):
        cosines = unit_rows(rows) @ protos.T  # (n, P)
        nearest = cosines.argmax(axis=1)
        used += np.bincount(nearest, minlength=len(protos))
        right += np.sum(of_class[nearest] == labels[part])
        own = of_class[None] == labels[part][:, None]
        aligned += np.where(own, cosines, -1.0).max(axis=1).sum()
    dead, share = int(np.sum(used == 0)), right / len(embeddings)
    cosine = mean_cosine(protos)
    return findings_of(
        "prototypes",
        f"{share:.1%} of training images are nearest to one of their class, alignment "
        f"{aligned / len(embeddings):.3f}, {dead} of {len(protos)} never nearest, mean cosine "
        f"between prototypes {cosine:.3f}",
        (
            share < (2 / classes if classes > 2 else 0.6),
            WARN,
            f"only {share:.1%} of training images are nearest to a prototype of their own class",
            "train longer, or lower the prototypes' momentum",
        ),
        (
            dead > len(protos) / 2,
            WARN,
            f"{dead} of {len(protos)} prototypes are nearest to no training image",
            "use fewer per class, or lower their momentum",
        ),
        (
            cosine > 0.95,
            WARN,
            f"the {len(protos)} prototypes fell together: mean cosine {cosine:.4f}",
            "train longer, or give the contrast between them more weight",
        ),
    )


def counts(counts_by_set: Mapping[str, Mapping[str, int | None]]) -> list[Finding]:
    """How many images each set has, by everything that says so; None says nothing."""
    problems, agreed = [], []
    for name, said in counts_by_set.items():
        by_count: dict[int, list[str]] = {}
        for where, count in said.items():
            if count is not None:
                by_count.setdefault(int(count), []).append(where)
        shown = "; ".join(f"{n:,} in {_few(where)}" for n, where in by_count.items())
        problems.append((len(by_count) > 1, FAIL, f"{name} has {shown}", EVALUATE))
        agreed += [f"{name} {n:,}" for n in by_count]
    return findings_of("counts", "everything agrees: " + ", ".join(agreed), *problems)


def rows(
    recorded: Sequence[result_rows.Row],
    detectors: Sequence[str],
    sets: Sequence[str],
    failed: Mapping[str, str],
) -> list[Finding]:
    """Whether results have a row for every detector and OOD set, and means that are means."""
    have = {(r["detector"], r["ood"]) for r in recorded}
    lacking = [(d, s) for d in detectors if d not in failed for s in sets if (d, s) not in have]
    first = lacking[0] if lacking else ("", "")
    try:
        means = {(r["detector"], r["group"]): r for r in result_rows.mean_rows(recorded)}
        wrong = [
            (r["detector"], r["group"])
            for r in recorded
            if r["ood"] == tables.MEAN and not _same(r, means.get((r["detector"], r["group"]), {}))
        ]
    except (InputError, KeyError) as e:
        wrong = [(str(e), "")]
    return findings_of(
        "results",
        f"{len(recorded)} rows: {len(detectors)} detectors on {len(sets)} sets, and group means",
        (
            lacking,
            FAIL,
            f"{len(lacking)} rows are missing, first detector {first[0]!r} on {first[1]!r}",
            EVALUATE,
        ),
        (
            failed,
            WARN,
            "without " + "; ".join(f"{d}: {why}" for d, why in failed.items()),
            "change or leave out these detectors",
        ),
        (wrong, FAIL, f"mean rows are not the means of their sets: {wrong[:3]}", EVALUATE),
    )


def scores(
    detector: str,
    id_scores: np.ndarray,
    ood_scores: Mapping[str, np.ndarray],
    recorded: Mapping[str, Mapping[str, Any]],
) -> list[Finding]:
    """Whether one detector's scores rank images, and give the recorded metrics.

    Args:
      detector: name of the detector.
      id_scores: scores (N,) of ID test images.
      ood_scores: scores (M,) of each OOD set, by name.
      recorded: result row of each OOD set, by name.
    """
    what, derived, problems = f"scores of {detector}", {}, []
    for name, values in {ID: id_scores, **ood_scores}.items():
        try:
            result_rows.check_scores(values, detector, name)
        except InputError as e:
            problems.append((True, FAIL, str(e), "leave this detector out, or check the network"))
    if problems:
        return findings_of(what, "", *problems)
    for name, values in ood_scores.items():
        derived[name] = metrics.ood_metrics(id_scores, values)
    wrong = [s for s in derived if s in recorded and not _same(recorded[s], derived[s])]
    _, repeats = np.unique(np.concatenate([id_scores, *ood_scores.values()]), return_counts=True)
    count, most = repeats.sum(), repeats.max()
    tied = repeats[repeats > 1].sum() / count
    auroc = {name: row["auroc"] for name, row in derived.items()}
    below = {name: v for name, v in auroc.items() if v < 0.5}
    perfect = [name for name, v in auroc.items() if v == 1.0]
    return findings_of(
        what,
        f"AUROC {min(auroc.values(), default=0):.1%} to {max(auroc.values(), default=0):.1%} on "
        f"{len(auroc)} sets, as recorded; {tied:.1%} of scores are tied",
        (
            wrong,
            FAIL,
            f"the scores on disk do not give the recorded metrics of {', '.join(wrong)}",
            EVALUATE,
        ),
        (
            most > SATURATED * count,
            WARN,
            f"{most / count:.1%} of all images have one and the same score",
            "saturated: prefer detectors on logits before the softmax, such as mls or energy",
        ),
        (
            tied > TIED and most <= SATURATED * count,
            WARN,
            f"{tied:.1%} of scores are shared with another image",
            "metrics depend on how ties count: compare fpr95 with fpr95_idpos_first",
        ),
        (
            below,
            WARN,
            "worse than chance: AUROC " + ", ".join(f"{s} {v:.2%}" for s, v in below.items()),
            "check the sets' preprocessing; else this detector prefers them to ID images",
        ),
        (
            perfect,
            WARN,
            f"AUROC is exactly 1 on {', '.join(perfect)}",
            "look at the images: size, format, colour or borders may give them away",
        ),
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _same(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two result rows have the same metrics."""
    return all(
        name in row and name in other and abs(row[name] - other[name]) <= REDERIVED
        for name in result_rows.METRICS
    )
