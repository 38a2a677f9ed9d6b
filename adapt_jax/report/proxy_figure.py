"""A figure of text embeddings, images and proxies, a panel per OOD set, on principal components."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from adapt_jax.core.arrays import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 1000  # rows of a kind that are drawn
_STYLE: Any = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "adapt_jax"}
_KINDS: dict[str, Any] = {
    "negatives": {"label": "texts of negatives", "c": "#8b929c", "marker": "x", "s": 10},
    "labels": {"label": "texts of ID labels", "c": "#16324f", "marker": "+", "s": 26},
    "id_images": {"label": "ID images", "c": "#0a66c2", "s": 7, "alpha": 0.45},
    "ood_images": {"label": "OOD images", "c": "#d1490b", "s": 7, "alpha": 0.45},
    "task": {
        "label": "task-adaptive proxies of negatives", "c": "#2b8a3e", "marker": "^", "s": 20,
    },
    "sample": {
        "label": "sample-adaptive proxies, for OOD images", "c": "#7b3fa0", "marker": "D", "s": 9,
    },
}  # fmt: skip


class Panel(NamedTuple):
    """Unit rows (N, D) of each kind, after the stream of one OOD set.

    title: which set. labels, negatives: texts. id_images, ood_images: images of the stream.
    task: task-adaptive proxies of the negatives that remember images. sample: sample-adaptive
    proxies for some OOD images, each of the image's nearest negative.
    """

    title: str
    labels: np.ndarray
    negatives: np.ndarray
    id_images: np.ndarray
    ood_images: np.ndarray
    task: np.ndarray
    sample: np.ndarray


def components(panels: Sequence[Panel]) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """The principal components of all panels' texts and images, each kind with the same weight.

    Proxies have no say. The sign of a component is such that its largest entry is positive.

    Args:
      panels: what will be drawn.

    Returns:
      The centre (D,), two components (D, 2), and their shares of the variance.
    """
    first = panels[0]
    kinds = [first.labels, first.negatives, first.id_images, *(p.ood_images for p in panels)]
    kinds = [np.asarray(rows, np.float64) for rows in kinds if len(rows)]
    center = np.mean([rows.mean(axis=0) for rows in kinds], axis=0)
    spreads = [(rows - center).T @ (rows - center) / len(rows) for rows in kinds]
    values, vectors = np.linalg.eigh(np.mean(spreads, axis=0))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    if axes.shape[1] < 2:
        axes = np.concatenate([axes, np.zeros_like(axes)], axis=1)
    shares = np.append(values[::-1] / max(values.sum(), 1e-300), 0.0)
    return center, axes, (float(shares[0]), float(shares[1]))


def figure(panels: Sequence[Panel], title: str) -> "Figure":
    """All panels on the same two components.

    Args:
      panels: what is drawn, one OOD set each.
      title: name of the detector.
    """
    from matplotlib import rc_context  # slow to import
    from matplotlib.figure import Figure

    center, axes, shares = components(panels)
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    with rc_context(_STYLE):
        fig = Figure(figsize=(max(4.4 * columns, 6.2), 3.9 * lines + 1.0), layout="constrained")
        grid = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for ax, panel in zip(grid.ravel(), panels):
            for kind, style in _KINDS.items():
                rows = getattr(panel, kind)
                points = (rows[spread(len(rows), _MOST)].astype(np.float64) - center) @ axes
                ax.scatter(
                    *points.T, linewidths=0.7 if style.get("marker", "o") in "x+" else 0, **style
                )
            ax.set_title(panel.title, parse_math=False)
            ax.spines[["top", "right"]].set_visible(False)
        for ax in grid.ravel()[len(panels) :]:
            ax.axis("off")
        fig.suptitle(title, parse_math=False)
        for ax in grid[-1]:
            ax.set_xlabel(f"first component, {shares[0]:.0%} of the variance")
        for ax in grid[:, 0]:
            ax.set_ylabel(f"second component, {shares[1]:.0%}")
        handles, texts = grid[0][0].get_legend_handles_labels()
        fig.legend(
            handles, texts, loc="outside lower center", ncols=3 if columns > 1 else 2,
            frameon=False, markerscale=1.6,
        )  # fmt: skip
    return fig
