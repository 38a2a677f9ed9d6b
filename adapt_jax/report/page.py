"""One self-contained HTML page per evaluated run: tables, curves, pictures, examples, config."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from adapt_jax import metrics
from adapt_jax.core.files import write_atomically
from adapt_jax.data.set_names import ID, id_side
from adapt_jax.report import curves, decisions, plots
from adapt_jax.results import tables, ties
from adapt_jax.results.evaluation import Evaluation, Images, prototype_rows
from adapt_jax.results.scoring import stream_key

_MOST_DETECTORS = 6  # with plots; the tables have all


class Example(NamedTuple):
    """An example image: uint8 (H, W[, 1 or 3]), its file name, score and set."""

    image: np.ndarray
    name: str
    score: float
    set_name: str = ""


def write(
    workdir: str | os.PathLike,
    evaluation: Evaluation,
    header: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Writes `report.html` and returns its path.

    Args:
      workdir: folder of the run.
      evaluation: the evaluation; parts of it may be missing.
      header: head of the results, see `result_files.header`.
      history: records of metrics.jsonl; every numeric field becomes a curve.
    """
    rows, scores = evaluation.scored.rows, evaluation.scored.scores
    means = [r for r in rows if r["ood"] == tables.MEAN]
    by_set = [r for r in rows if r["ood"] != tables.MEAN]
    ranked = _ranked(means)
    group_names = list(dict.fromkeys(r["group"] for r in means))
    sets = list(dict.fromkeys(r["ood"] for r in by_set))
    shown = [d for d in ranked if d in scores][:_MOST_DETECTORS]
    page = _template().render(
        title=evaluation.title,
        header=header,
        columns=tables.COLUMNS,
        labels=tables.LABELS,
        legend=dict(metrics.COLUMNS),
        groups=group_names,
        tiles=[r for r in means if ranked and r["detector"] == ranked[0]],
        best_detector=ranked[0] if ranked else "",
        detectors=ranked,
        by_group={(r["detector"], r["group"]): r for r in means},
        best_group=_best(means, lambda r: r["group"]),
        by_set=sorted(by_set, key=lambda r: (sets.index(r["ood"]), ranked.index(r["detector"]))),
        best_set=_best(by_set, lambda r: r["ood"]),
        ties=_ties(scores, by_set, evaluation.groups),
        percent=tables.percent,
        one_run=tables.ONE_RUN,
        intervals=tables.INTERVALS if any("auroc_low" in r for r in rows) else "",
        decisions=decisions.table(scores[shown[0]], evaluation.groups) if shown else [],
        histograms=_histograms(shown, scores, by_set, evaluation.groups),
        rocs=_rocs(shown, scores, sets),
        roc_sets=[(name, i % plots.SERIES, i >= plots.SERIES) for i, name in enumerate(sets)],
        not_shown=len(ranked) - len(shown),
        curves=curves.panels(history),
        picture=_picture(evaluation),
        examples=_examples(evaluation, shown[0]) if shown else {},
        config=_flat(evaluation.config),
    )
    path = Path(workdir) / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    return path


def _examples(evaluation: Evaluation, detector: str) -> dict[str, list[tuple[str, Example]]]:
    """Thumbnails of a detector's worst mistakes by caption; {} unless every set has images."""
    sets = evaluation.sets
    images = {name: image_set.images for name, image_set in sets.items()}
    if any(image_set is None for image_set in images.values()):
        return {}
    names = {name: image_set.names for name, image_set in sets.items()}
    worst = extremes(detector, evaluation.scored.scores[detector], images, names)
    return {
        caption: [(plots.thumbnail(e.image), e) for e in image_set]
        for caption, image_set in worst.items()
        if image_set
    }


def extremes(
    detector: str,
    scores: Mapping[str, np.ndarray],
    images: Mapping[str, Images | None],
    names: Mapping[str, Sequence],
    count: int = 12,
) -> dict[str, list[Example]]:
    """The images a detector gets most wrong, by caption.

    Args:
      detector: name of the detector, for the captions.
      scores: the detector's scores (N,) by set, the ID test set under "id".
      images: images by set, uint8 or a function from an index to an image, in the order of the
        scores; sets may be missing or None.
      names: file names of the images by set; missing ones are numbered.
      count: number of images per caption.
    """

    def take(ranked: list[tuple[float, str, int]]) -> list[Example]:
        examples = []
        for score, name, i in ranked[:count]:
            source: Any = images[name]
            image = source(i) if callable(source) else source[i]
            label = str(names[name][i]) if names.get(name) is not None else str(i)
            examples.append(Example(np.asarray(image), label, score, name))
        return examples

    ood: list[tuple[float, str, int]] = []
    own: list[tuple[float, str, int]] = []
    for name in images:
        if images[name] is None or name not in scores:
            continue
        values = np.asarray(scores[name])
        sign = 1 if name == ID else -1
        order = np.argsort(sign * values, kind="stable")[:count]
        (own if name == ID else ood).extend((float(values[i]), name, int(i)) for i in order)
    return {
        f"OOD images that look most in-distribution to {detector}": take(
            sorted(ood, key=lambda c: -c[0])
        ),
        f"ID images that look most out-of-distribution to {detector}": take(own),
    }


def _template() -> jinja2.Template:
    env = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8")
    return env.from_string(source)


def _ranked(means: Sequence[tables.Row]) -> list[str]:
    """Detectors, best mean AUROC over the groups first."""
    values: dict[str, list[float]] = {}
    for r in means:
        values.setdefault(r["detector"], []).append(r["auroc"])
    return sorted(values, key=lambda d: -np.mean(values[d]))


def _best(rows: Sequence[tables.Row], key: Callable) -> dict[tuple, float]:
    """(key, column) -> the best value, where at least two detectors compete."""
    best: dict[tuple, list[float]] = {}
    for r in rows:
        for column in tables.COLUMNS:
            best.setdefault((key(r), column), []).append(r[column])
    return {
        (k, column): min(v) if column.startswith("fpr") else max(v)
        for (k, column), v in best.items()
        if len(v) > 1
    }


def _ties(scores, by_set, groups) -> list[str]:
    """Which detectors do not differ, group by group."""
    of_sets = {r["ood"]: r["group"] for r in by_set}
    all_scores: dict[tuple[str, ...], Any] = {}
    for detector, scores_by_set in scores.items():
        own = (
            {ID: np.concatenate([scores_by_set[s] for s in id_side(groups)])}
            if ID in scores_by_set
            else {}
        )
        all_scores["", detector] = [{**scores_by_set, **own}]
    return ties.sentences(ties.find(all_scores, of_sets))


def _histograms(shown, scores, by_set, groups) -> list[tuple[str, list[dict]]]:
    row_of = {(r["detector"], r["ood"]): r for r in by_set}
    panels = []
    for detector in shown:
        cards = []
        for name, values in scores[detector].items():
            if name in groups:  # not the ID images in the stream of an OOD set
                own = _id_scores(scores[detector], name)
                svg = Markup(plots.histogram(own, np.asarray(values, np.float64)))
                row = row_of.get((detector, name))
                cards.append({"name": name, "group": groups[name], "svg": svg, "row": row})
        panels.append((detector, cards))
    return panels


def _rocs(shown, scores, sets) -> list[tuple[str, Markup]]:
    panels = []
    for detector in shown:
        by_set = scores[detector]
        pairs = [
            (_id_scores(by_set, name), np.asarray(by_set[name], np.float64))
            if name in by_set
            else None
            for name in sets
        ]
        panels.append((detector, Markup(plots.roc(pairs))))
    return panels


def _id_scores(by_set: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """What the scores of an OOD set are compared with."""
    return np.asarray(by_set.get(stream_key(ID, name), by_set.get(ID)), np.float64)


def _picture(evaluation: Evaluation) -> dict[str, Any] | None:
    """The 2-D projection with its legend, or None without vectors."""
    vectors, groups = evaluation.vectors, evaluation.groups
    if len(vectors.get(ID, ())) < 2:
        return None
    id_labels = evaluation.sets[ID].labels
    prototypes = prototype_labels = None
    if evaluation.prototypes is not None:
        prototypes, prototype_labels = prototype_rows(evaluation.prototypes)
    largest_labels = [np.max(l) for l in (id_labels, prototype_labels) if l is not None and len(l)]
    count = int(max(largest_labels, default=0)) + 1
    colors = plots.class_colors(count)
    markers = dict.fromkeys(groups.get(name, "") for name in vectors if name != ID)
    markers = dict(zip(markers, "x+1234" * (len(markers) // 6 + 1)))
    ood = {n: (markers[groups.get(n, "")], rows) for n, rows in vectors.items() if n != ID}
    projection = plots.projection(vectors[ID], id_labels, ood, prototypes, prototype_labels, colors)
    symbols = {"x": "×", "+": "+", "1": "Y", "2": "⅄", "3": "≺", "4": "≻"}
    return {
        "image": projection.image,
        "explained": projection.explained,
        "classes": list(zip(evaluation.class_names, colors))
        if largest_labels and count <= 24
        else [],
        "count": count if largest_labels else 0,
        "markers": [(symbols[marker], f"{group} OOD".strip()) for group, marker in markers.items()],
        "stars": prototypes is not None,
    }


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as ("a.b", text) pairs."""
    if isinstance(value, Mapping):
        return [
            pair
            for k, v in value.items()
            for pair in _flat(v, f"{prefix}.{k}" if prefix else str(k))
        ]
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return [(prefix, text)]
