"""A figure of the values of one field: AUROC and FPR95, a column per group of OOD sets."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adapt_jax.results.tables import LABELS, MEAN, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = ("auroc", "fpr95")
_LEVEL, _LONGEST = 10, 24  # characters of a label that stands level, and of any
_MARKERS = "osD^vP*X"
_STYLE: Any = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "adapt_jax"}


def figure(rows: Sequence[Row], field: str, values: Sequence[str]) -> "Figure":
    """A line per detector through its group means, with the deviation over seeds.

    Values stand side by side in the order they were given.

    Args:
      rows: rows with `value`, `detector`, `group`, and the means of groups among them.
      field: name of the field, below the axes.
      values: the values of the field, as text.
    """
    from matplotlib import rc_context  # slow to import
    from matplotlib.figure import Figure

    means = [row for row in rows if row["ood"] == MEAN]
    groups, detectors = (list(dict.fromkeys(r[k] for r in means)) for k in ("group", "detector"))
    ticks = _shortened(values)
    long = max(map(len, ticks)) > _LEVEL
    slant: dict[str, Any] = {"rotation": 30, "ha": "right"} if long else {}
    with rc_context(_STYLE):
        size = (1.0 + 3.4 * len(groups), 5.4 + 0.2 * len(detectors))
        fig = Figure(figsize=size, layout="constrained")
        grid = fig.subplots(len(_SHOWN), len(groups), sharex=True, sharey="row", squeeze=False)
        for axes, metric in zip(grid, _SHOWN):
            for ax, group in zip(axes, groups):
                for d, detector in enumerate(detectors):
                    line = [r for r in means if (r["group"], r["detector"]) == (group, detector)]
                    shift = 0.04 * (d - (len(detectors) - 1) / 2)
                    ax.errorbar(
                        [values.index(r["value"]) + shift for r in line],
                        [100 * r[metric] for r in line],
                        yerr=[100 * r.get(f"{metric}_std", 0) for r in line],
                        color=f"C{d % 10}", marker=_MARKERS[d % len(_MARKERS)], markersize=4.5,
                        linewidth=1.1, elinewidth=1, capsize=2.5, label=detector,
                    )  # fmt: skip
                ax.grid(axis="y", color="0.9")
                ax.set_axisbelow(True)
                ax.spines[["top", "right"]].set_visible(False)
                ax.set_xticks(range(len(values)), ticks, parse_math=False, **slant)
            axes[0].set_ylabel(f"{LABELS[metric]}, %")
        for ax, group in zip(grid[0], groups):
            ax.set_title(f"{group}-OOD" if group in ("near", "far") else group, parse_math=False)
        for ax in grid[-1]:
            ax.set_xlabel(field, parse_math=False)
        handles, texts = grid[0][0].get_legend_handles_labels()
        legend = fig.legend(
            handles, texts, loc="outside lower center", ncols=1 if len(groups) == 1 else 2,
            frameon=False,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
    return fig


def _shortened(values: Sequence[str]) -> list[str]:
    """Values as labels: of paths their last part, of long texts their end."""
    parts = [value.rstrip("/").rpartition("/")[2] for value in values]
    texts = parts if len(set(parts)) == len(values) else values
    return [text if len(text) <= _LONGEST else f"...{text[-_LONGEST:]}" for text in texts]


def saved(fig: "Figure", kind: str) -> bytes:
    """A figure as the content of a "png" or "svg" file."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context(_STYLE):
        metadata = {"Date": None} if kind == "svg" else None
        fig.savefig(buffer, format=kind, dpi=180, facecolor="white", metadata=metadata)
    return buffer.getvalue()
