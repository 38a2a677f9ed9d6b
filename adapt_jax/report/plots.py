"""The report's pictures: small SVGs that follow the page's colours, and one PNG of the embeddings.

No picture contains a name that came from a user: sets, classes and metrics are written by the page
around it, which escapes them (matplotlib would read `$` in them as mathematics).
"""

import base64
import colorsys
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from adapt_jax.core.arrays import spread
from adapt_jax.metrics import ood

SERIES = 8  # distinct colours; further curves repeat them dashed
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "adapt_jax",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "path.simplify_threshold": 0.5,
}
# Colours that exist only between matplotlib and `_svg`, which turns them into the page's own.
_INK, _GRID, _ID, _OOD = "#010101", "#020202", "#030303", "#040404"
_CSS = {_INK: "currentColor", _GRID: "var(--line)", _ID: "var(--id)", _OOD: "var(--ood)"}
_LINES = [f"#0505{i:02x}" for i in range(SERIES)]
_CSS |= {color: f"var(--s{i})" for i, color in enumerate(_LINES)}
_BINS = 60


class Projection(NamedTuple):
    """A 2-D picture: `image` a PNG data URI, `explained` the two components' variance shares."""

    image: str
    explained: tuple[float, float]


def histogram(id_scores: np.ndarray, ood_scores: np.ndarray) -> str:
    """ID against OOD scores with the threshold that keeps 95 % of ID."""
    with mpl.rc_context(_RC):
        fig, ax = _axes(3.3, 1.9)
        draw_histogram(ax, id_scores, ood_scores, colors=(_ID, _OOD, _INK))
        return _svg(fig)


def draw_histogram(ax, id_scores: np.ndarray, ood_scores: np.ndarray, *, colors) -> None:
    """Draws `histogram` into matplotlib axes; `colors` are those of ID, OOD and the threshold.

    The bulk of both decides the range; tails are gathered in the first and last bar.
    """
    id_low, id_high = np.percentile(id_scores, [0.5, 99.5])
    ood_low, ood_high = np.percentile(ood_scores, [2.5, 97.5])
    # A far set may lie a hundred ID widths away; ID would shrink to a line.
    reach = 3 * (id_high - id_low) or 1.0
    low, high = (
        min(id_low, max(ood_low, id_low - reach)),
        max(id_high, min(ood_high, id_high + reach)),
    )
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for scores, color in zip((id_scores, ood_scores), colors):
        share = np.histogram(np.clip(scores, low, high), edges)[0] / len(scores)
        face = mpl.colors.to_rgba(color, 0.3)
        ax.stairs(share, edges, fill=True, facecolor=face, edgecolor=color, linewidth=1.2)
    ax.axvline(np.percentile(id_scores, 5), color=colors[2], linewidth=0.9, linestyle=(0, (3, 2)))
    ax.set(yticks=[], xlim=(edges[0], edges[-1]), ylim=(0, None))
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=4)
    ax.set_xlabel("← more OOD · score · more ID →")


def roc(pairs: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> str:
    """ROC curves with ID positive, one per pair of ID and OOD scores, in the page's colours.

    None skips a colour: the detector has no scores of that set.
    """
    with mpl.rc_context(_RC):
        fig, ax = _axes(3.3, 3.0)
        ax.plot([0, 1], [0, 1], color=_GRID, linewidth=1)
        ax.axhline(0.95, color=_INK, linewidth=0.7, linestyle=(0, (3, 2)))
        for i, pair in enumerate(pairs):
            if pair is None:
                continue
            fpr, tpr = ood.roc_curve(*pair)
            keep = _along(fpr, tpr, 250)
            style = "-" if i < SERIES else (0, (4, 2))
            ax.plot(fpr[keep], tpr[keep], color=_LINES[i % SERIES], linewidth=1.5, linestyle=style)
        ticks = [0, 0.25, 0.5, 0.75, 1]
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=ticks, yticks=ticks)
        ax.set_xlabel("OOD images accepted")
        ax.set_ylabel("ID images accepted")
        return _svg(fig)


def curve(x: np.ndarray, y: np.ndarray, x_label: str) -> str:
    """One scalar over training; long runs are averaged to a few hundred points."""
    parts = np.array_split(np.arange(len(x)), min(len(x), 300))
    x, y = (np.array([values[p].mean() for p in parts]) for values in (x, y))
    with mpl.rc_context(_RC):
        fig, ax = _axes(3.3, 1.7)
        ax.grid(axis="y", color=_GRID, linewidth=0.8)
        ax.set_axisbelow(True)
        marker = "o" if len(x) == 1 else None
        ax.plot(x, y, color=_ID, linewidth=1.4, marker=marker, markersize=4)
        ax.set_xlabel(x_label)
        ax.locator_params(nbins=4)
        ax.ticklabel_format(axis="y", scilimits=(-3, 4))
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        return _svg(fig)


def projection(
    embeddings: np.ndarray,
    labels: np.ndarray | None,
    ood: Mapping[str, tuple[str, np.ndarray]],
    prototypes: np.ndarray | None,
    prototype_labels: np.ndarray | None,
    colors: Sequence[str],
) -> Projection:
    """The picture that `draw_projection` draws, as a PNG."""
    with mpl.rc_context(_RC):
        fig = Figure(figsize=(7.2, 4.8), layout="tight")
        explained = draw_projection(
            fig.subplots(), embeddings, labels, ood, prototypes, prototype_labels, colors
        )
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=180, transparent=True)
    return Projection(data_uri(Image.open(buffer).quantize(256)), explained)


def draw_projection(
    ax,
    embeddings: np.ndarray,
    labels: np.ndarray | None,
    ood: Mapping[str, tuple[str, np.ndarray]],
    prototypes: np.ndarray | None,
    prototype_labels: np.ndarray | None,
    colors: Sequence[str],
) -> tuple[float, float]:
    """First two principal components of ID embeddings and prototypes, with OOD sets laid over.

    Args:
      ax: matplotlib axes.
      embeddings: embeddings (N, D) of ID images.
      labels: integer labels (N,), or None for one colour.
      ood: marker and embeddings (M, D) by OOD set, drawn in grey.
      prototypes: prototypes (P, D), drawn as stars, or None.
      prototype_labels: integer labels (P,) of the prototypes, or None.
      colors: one colour per class, from `class_colors`.

    Returns:
      The two components' shares of the variance.
    """
    pick = spread(len(embeddings), 2500)
    embeddings = np.asarray(embeddings, np.float64)[pick]
    fitted = embeddings
    if prototypes is not None:
        fitted = np.concatenate([embeddings, np.asarray(prototypes, np.float64)])
    center = fitted.mean(axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov((fitted - center).T)))
    axes = vectors[:, ::-1][:, :2] if len(values) > 1 else np.eye(1, 2)
    share = values[::-1][:2] / max(values.sum(), 1e-300)

    def palette(classes, count):
        if classes is None:
            return [colors[0]] * count
        return [colors[int(c) % len(colors)] for c in classes]

    ax.axis("off")
    for marker, rows in ood.values():
        rows = np.asarray(rows, np.float64)[spread(len(rows), max(1, 1500 // len(ood)))]
        ax.scatter(*((rows - center) @ axes).T, s=11, c="#8b929c", marker=marker, linewidths=0.7)
    id_colors = palette(None if labels is None else np.asarray(labels)[pick], len(embeddings))
    points = ((embeddings - center) @ axes).T
    ax.scatter(*points, s=9, c=id_colors, alpha=0.75, linewidths=0)
    if prototypes is not None:
        stars = ((np.asarray(prototypes, np.float64) - center) @ axes).T
        faces = palette(prototype_labels, len(prototypes))
        # A light and a dark rim: one of them stands out, whatever the page and the class.
        for size, face in ((210, "#ffffff"), (140, "#111418"), (75, faces)):
            ax.scatter(*stars, s=size, c=face, marker="*", linewidths=0)
    return float(share[0]), float(sum(share[1:]))


def class_colors(count: int) -> list[str]:
    """`count` colours, readable on light and dark, neighbours far apart on the colour wheel."""
    tones = ((0.52, 0.75), (0.64, 0.65), (0.50, 0.50))
    hues = [(i * 0.618034 + 0.58) % 1 for i in range(count)]
    rgb = [colorsys.hls_to_rgb(h, *tones[i % 3]) for i, h in enumerate(hues)]
    return ["#{:02x}{:02x}{:02x}".format(*(round(255 * c) for c in color)) for color in rgb]


def thumbnail(image: np.ndarray, largest: int = 112) -> str:
    """A uint8 image (H, W), (H, W, 1) or (H, W, 3) as a PNG data URI; large ones are shrunk."""
    image = np.asarray(image)
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    picture.thumbnail((largest, largest))
    return data_uri(picture)


def data_uri(image: Image.Image) -> str:
    """A picture as a PNG data URI."""
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _axes(width: float, height: float):
    fig = Figure(figsize=(width, height), layout="tight")
    ax = fig.subplots()
    ax.set_facecolor("none")
    ax.tick_params(colors=_INK)
    for spine in ax.spines.values():
        spine.set_color(_INK)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_color(_INK)
    return fig, ax


def _svg(fig: Figure) -> str:
    """The figure as inline SVG: page colours, no size, no ids but those it refers to."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    fig.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    # A tenth of a point is enough; within attributes only, the text is tick labels.
    svg = re.sub(r'="[^"]*"', lambda m: re.sub(r"(\.\d)\d+", r"\1", m[0]), svg)
    for color, css in _CSS.items():
        svg = svg.replace(color, css)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)


def _along(x: np.ndarray, y: np.ndarray, most: int) -> np.ndarray:
    """At most about `most` indices, evenly along a monotone curve, both ends kept."""
    if len(x) <= most:
        return np.arange(len(x))
    way = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], most)).clip(0, len(x) - 1))
