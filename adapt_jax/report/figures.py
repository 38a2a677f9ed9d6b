"""Matplotlib figures from a run's folder, for notebooks and papers: `histograms(workdir)`, ...

Everything is read from files that an evaluation has left; nothing is scored again. Each function
returns a `matplotlib.figure.Figure` that is nobody's current figure: show it, or `savefig` it.
"""

import os
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adapt_jax import metrics
from adapt_jax.core.errors import InputError
from adapt_jax.data import streams
from adapt_jax.data.set_names import ID
from adapt_jax.report import plots
from adapt_jax.results import result_files, tables
from adapt_jax.results.evaluation import Embeddings, prototype_rows
from adapt_jax.results.scores import load_scores, path_of
from adapt_jax.results.scoring import stream_key

_ID, _OOD, _INK, _GRID = "#0a66c2", "#d1490b", "#5b6571", "#e1e5ea"
_RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.titlelocation": "left",
    "text.parse_math": False,  # a $ in the name of a set is a $
    "figure.dpi": 100,
}
_MARKERS = "x+1234"
_WINDOWS = 10
_ABOVE = {"frameon": False, "ncols": 4, "borderaxespad": 0.2}  # a legend on top of the axes


def histograms(workdir: str | os.PathLike, detector: str = "") -> Figure:
    """Scores of ID and OOD images, one panel per OOD set, with the threshold that keeps 95 % of ID.

    Args:
      workdir: folder of an evaluated run, trained or zero-shot.
      detector: name of the detector in results.json; the first one by default.

    Raises:
      InputError: the run has no results, or none of this detector.
    """
    results = result_files.read(workdir)
    rows = _rows(results, detector)
    with mpl.rc_context(_RC):
        columns = len(rows) if len(rows) < 4 else 2 if len(rows) == 4 else 3
        lines = -(-len(rows) // columns)
        fig = Figure(figsize=(max(3.4 * columns, 8.4), 2.3 * lines), layout="tight")
        axes = fig.subplots(lines, columns, squeeze=False).ravel()
        for ax, row in zip(axes, rows):
            pair = _scores(workdir, row["detector"], row["ood"])
            plots.draw_histogram(ax, *pair, colors=(_ID, _OOD, _INK))
            ax.set_title(
                f"{row['ood']} ({row['group']}), AUROC {100 * row['auroc']:.1f} %", fontsize=10
            )
        for ax in axes[len(rows) :]:
            ax.axis("off")
        keys: list[Artist]
        keys = [mpl.patches.Patch(color=c, alpha=0.6) for c in (_ID, _OOD)]
        keys.append(Line2D([], [], color=_INK, linestyle=(0, (3, 2)), linewidth=0.9))
        names = [
            f"{rows[0]['detector']}: ID test set",
            "OOD set",
            "threshold that keeps 95 % of ID",
        ]
        fig.legend(keys, names, loc="upper left", ncols=3, frameon=False, bbox_to_anchor=(0, 0))
    return fig


def embeddings(shown: Embeddings) -> Figure:
    """Two principal components of ID images and prototypes, with OOD sets laid over them.

    Args:
      shown: embeddings of all sets; those of a trained run from `inference.run_embeddings.load`.
    """
    markers = dict(zip(dict.fromkeys(shown.groups.values()), _MARKERS * len(shown.groups)))
    ood = {name: (markers[group], shown.vectors[name]) for name, group in shown.groups.items()}
    stars = star_labels = None
    if shown.prototypes is not None:
        stars, star_labels = prototype_rows(shown.prototypes)
    known_labels = [l for l in (shown.labels, star_labels) if l is not None and len(l)]
    count = int(max((np.max(l) for l in known_labels), default=0)) + 1
    colors = plots.class_colors(count)
    with mpl.rc_context(_RC):
        fig = Figure(figsize=(8.4, 5.0), layout="tight")
        ax = fig.subplots()
        shares = plots.draw_projection(
            ax, shown.vectors[ID], shown.labels, ood, stars, star_labels, colors
        )
        title = "principal components, {:.0%} and {:.0%} of the variance".format(*shares)
        ax.set_title(title, fontsize=10)
        keys = []
        if known_labels and count <= 24:
            names = shown.class_names or [str(c) for c in range(count)]
            keys += [_dot("o", colors[c], f"ID class {names[c]}") for c in range(count)]
        keys += [_dot("*", _INK, "prototypes")] if stars is not None else []
        keys += [_dot(marker, "#8b929c", f"{group} OOD") for group, marker in markers.items()]
        ax.legend(handles=keys, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def stream(workdir: str | os.PathLike, ood: str, detectors: Sequence[str] = ()) -> Figure:
    """A zero-shot run's stream of ID images and those of one OOD set, in the order it was seen.

    Above, every score of the first detector that adapts; below, AUROC within each tenth of the
    stream, of all detectors. A tenth without both kinds of images has none.

    Args:
      workdir: folder of a zero-shot run.
      ood: name of the OOD set.
      detectors: names of detectors in results.json; all by default.

    Raises:
      InputError: no such run, set or detector, or none of the detectors adapts.
    """
    results = result_files.read(workdir)
    rows = {r["detector"]: r for r in results["rows"] if r["ood"] == ood}
    names = list(detectors) or list(rows)
    unknown = [n for n in names if n not in rows]
    adaptive = [n for n in names if n in rows and rows[n].get("adaptive")]
    if unknown or not adaptive:
        what = f"no detector {unknown[0]!r} on" if unknown else "no detector that adapts on"
        raise InputError(f"{workdir} has {what} a set {ood!r}; see its results.csv")
    pairs = {n: _scores(workdir, n, ood) for n in names}
    row, (own, other) = rows[adaptive[0]], pairs[adaptive[0]]
    settings = streams.Settings(
        row["stream_order"], row["batch_size"], row["stream_mix"], row["stream_seed"]
    )
    order = streams.order(len(own), len(other), settings)
    is_own = order < len(own)
    windows = np.array_split(np.arange(len(order)), _WINDOWS)
    with mpl.rc_context(_RC):
        fig = Figure(figsize=(8.4, 5.0), layout="tight")
        above, below = fig.subplots(2, sharex=True)
        seen, values = np.arange(len(order)), np.concatenate([own, other])[order]
        for side, color, label in ((is_own, _ID, "ID"), (~is_own, _OOD, ood)):
            above.scatter(seen[side], values[side], s=6, c=color, alpha=0.6, lw=0, label=label)
        above.set_ylabel("score")
        above.set_title(f"{adaptive[0]}, {settings.batch_size} images at a time", fontsize=10)
        above.legend(**_ABOVE, loc="lower right", bbox_to_anchor=(1, 1), markerscale=2)
        for name in names:
            mixed = np.concatenate(pairs[name])[order]
            curve = [
                100 * metrics.ood_metrics(mixed[w][is_own[w]], mixed[w][~is_own[w]])["auroc"]
                if len(set(is_own[w])) == 2
                else np.nan
                for w in windows
            ]
            below.plot([w.mean() for w in windows], curve, marker="o", ms=4, label=name)
        below.set(xlabel="images seen", ylabel="AUROC in %")
        below.grid(axis="y", color=_GRID)
        below.legend(**_ABOVE, loc="lower left", bbox_to_anchor=(0, 1))
    return fig


def gallery(images: Sequence[np.ndarray], captions: Sequence[str], columns: int = 6) -> Figure:
    """Images (H, W[, 1 or 3]) uint8 in a grid, each with its caption above."""
    count = -(-len(images) // columns)
    with mpl.rc_context(_RC):
        fig = Figure(figsize=(1.9 * columns, 2.3 * count), layout="tight")
        axes = fig.subplots(count, columns, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        for ax, image, caption in zip(axes, images, captions, strict=False):
            ax.imshow(np.squeeze(image), cmap="gray", vmin=0, vmax=255)
            ax.set_title(caption, fontsize=8.5, loc="center")
    return fig


def _rows(results, detector: str = "") -> list[tables.Row]:
    """The rows of one detector (the first by default), without means."""
    detectors = dict.fromkeys(r["detector"] for r in results["rows"])
    wanted = detector or next(iter(detectors), "")
    if wanted not in detectors:
        raise InputError(f"no results of detector {detector!r}; there are: {', '.join(detectors)}")
    return [r for r in results["rows"] if r["detector"] == wanted and r["ood"] != tables.MEAN]


def _scores(workdir, detector: str, ood: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the ID test set, those of the OOD set's stream where there are such, and of it."""
    own = path_of(workdir, detector, stream_key(ID, ood))
    own = own if own.exists() else path_of(workdir, detector, ID)
    return load_scores(own).scores, load_scores(path_of(workdir, detector, ood)).scores


def _dot(marker: str, color: str, label: str) -> Line2D:
    return Line2D([], [], marker=marker, color=color, label=label, linestyle="", markersize=7)
