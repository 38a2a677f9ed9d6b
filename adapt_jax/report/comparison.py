"""Results of several configs side by side: rows, table, Markdown, CSV, JSON, figure."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from adapt_jax.core.files import write_atomically
from adapt_jax.core.sheets import csv_text
from adapt_jax.report.sweep_figure import saved
from adapt_jax.results import aggregate, tables, ties
from adapt_jax.results.tables import MEAN, Row
from adapt_jax.runtime import provenance

SHOWN = ("fpr95", "fpr95_idpos_nearest", "auroc", "aupr_in")
_MEANS = {"detector": "detector", "group": "group", "config": "config"}
_SETS = {"detector": "detector", "ood": "OOD set", "group": "group", "config": "config"}
_MARKERS = "osD^vP*X"


def content(
    by_label: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    files: Mapping[str, str],
    folders: Mapping[str, Sequence[pathlib.Path]],
    differences: Mapping[str, Mapping[str, Any]],
    overrides: Sequence[str],
) -> dict[str, Any]:
    """The content of compare.json.

    `rows`: a config's name and method in front of its `aggregate.aggregate` rows: per detector and
    set, and per detector and group (`"ood": "mean"`), each metric's mean over the seeds, its
    population deviation `<metric>_std`, and `runs`. `runs`: the head of each run's results.json,
    and `means`, its rows per group. `ties`: sentences about rows that do not differ.

    Args:
      by_label: contents of results.json, one per seed, by name of the config.
      files: config file by name of the config.
      folders: folders of the runs, one per seed, by name of the config.
      differences: values {config: value} of the fields in which the configs differ.
      overrides: fields that were changed in all configs.
    """
    rows, runs = [], []
    for label, results in by_label.items():
        method = {"config": label, "method": results[0]["method"]}
        rows += [method | row for row in aggregate.aggregate(results)]
        for run in results:
            head = {k: v for k, v in run.items() if k not in ("rows", "config")}
            means = [r for r in run["rows"] if r["ood"] == MEAN]
            runs.append({"config": label} | head | {"means": means})
    return {
        "configs": {
            k: {"file": files[k], **results[0]["config"]} for k, results in by_label.items()
        },
        "seeds": [run["seed"] for run in next(iter(by_label.values()))],
        "overrides": list(overrides),
        "differences": dict(differences),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "runs": runs,
        "rows": rows,
        "ties": ties.of_runs(folders, rows),
    }


def write(workdir: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes compare.json, .csv, .md, .png and .svg into `workdir`."""
    columns = list(dict.fromkeys(k for row in content["rows"] for k in row))
    picture = figure(content)
    files: dict[str, bytes | str] = {
        "compare.json": (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(),
        "compare.csv": csv_text(content["rows"], columns),
        "compare.md": markdown(content),
        "compare.png": saved(picture, "png"),
        "compare.svg": saved(picture, "svg"),
    }
    for name, data in files.items():
        write_atomically(workdir / name, data)


def table(content: Mapping[str, Any]) -> tables.ConsoleTable:
    """The group means for the console."""
    rows = list(_in_order(content, of_groups=True))
    return tables.table(rows, SHOWN, title=_title(content), keys=_MEANS)


def markdown(content: Mapping[str, Any]) -> str:
    """compare.md: what was compared, the group means, the figure, and every set."""
    one = next(iter(content["configs"].values()))
    seeds = ", ".join(map(str, content["seeds"]))
    lines = [f"# {_title(content)}", ""]
    lines += [f"- `{label}`: {c['file']}" for label, c in content["configs"].items()]
    lines += [
        *_networks(content),
        f"- OOD sets: {one['ood']}",
        f"- seeds {seeds}; {_spread(content)}",
    ]
    if content["overrides"]:
        lines += [f"- set for all: `{','.join(content['overrides'])}`"]
    for field, values in content["differences"].items():
        shown = ", ".join(f"{stem}: {value}" for stem, value in values.items())
        lines += [f"- **the configs differ in {field}**: {shown}"]
    means, sets = (list(_in_order(content, of_groups=groups)) for groups in (True, False))
    lines += ["", "## Means over the sets of a group", "", tables.markdown(means, SHOWN, _MEANS)]
    lines += [*(f"- {sentence}" for sentence in content["ties"]), ""]
    lines += ["![AUROC of every config](compare.png)", ""]
    lines += ["## Every set", "", tables.markdown(sets, SHOWN, _SETS)]
    return "\n".join(lines)


def _networks(content: Mapping[str, Any]) -> list[str]:
    """Which networks were compared, as lines of a list."""
    one = next(iter(content["configs"].values()))
    if "clip" in one:
        clips = dict.fromkeys(c["clip"]["path"] for c in content["configs"].values())
        return [f"- CLIP: {', '.join(clips)}"]
    length = (
        f"{one['epochs']} epochs" if one["total_steps"] is None else f"{one['total_steps']} steps"
    )
    return [
        f"- {one['model']['name']}, width {one['model']['width']}; {length}, {one['batch_size']} "
        f"images x {one['views']} views per step"
    ]


def figure(content: Mapping[str, Any]) -> Figure:
    """AUROC per config, a panel per group: each seed a faint mark, mean and deviation a bold one.

    Detectors have a colour and a marker each.
    """
    labels = list(content["configs"])
    means = [r for r in content["rows"] if r["ood"] == MEAN]
    groups, detectors = (list(dict.fromkeys(r[k] for r in means)) for k in ("group", "detector"))
    gap = 0.7 / len(detectors)
    height = 1.2 + len(labels) * max(0.4, 0.17 * len(detectors))
    with rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "adapt_jax"}):
        fig = Figure(figsize=(1.2 + 3.6 * len(groups), height), layout="constrained")
        axes = fig.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for ax, group in zip(axes, groups):
            for d, detector in enumerate(detectors):
                style = {"color": f"C{d % 10}", "marker": _MARKERS[d % len(_MARKERS)]}
                shift = (d - (len(detectors) - 1) / 2) * gap
                selected = {"detector": detector, "group": group}
                seeds = [
                    (labels.index(run["config"]) + shift, 100 * r["auroc"])
                    for run in content["runs"]
                    for r in _matching(run["means"], selected)
                ]
                y, x = np.array(seeds).reshape(-1, 2).T
                ax.scatter(x, y, s=14, alpha=0.35, linewidths=0, **style)
                bold = list(_matching(means, selected))
                ax.errorbar(
                    [100 * r["auroc"] for r in bold],
                    [labels.index(r["config"]) + shift for r in bold],
                    xerr=[100 * r["auroc_std"] for r in bold],
                    linestyle="none", capsize=2.5, markersize=5, elinewidth=1.2,
                    label=detector, **style,
                )  # fmt: skip
            ax.set_title(f"{group}-OOD" if group in ("near", "far") else group, parse_math=False)
            ax.set_xlabel("AUROC, %")
            ax.grid(axis="x", color="0.9")
            ax.set_axisbelow(True)
            ax.spines[["top", "right", "left"]].set_visible(False)
            ax.tick_params(axis="y", length=0)
            for row in range(1, len(labels)):
                ax.axhline(row - 0.5, color="0.93", linewidth=0.8, zorder=0)
        axes[0].set_yticks(range(len(labels)), labels, parse_math=False)
        axes[0].set_ylim(len(labels) - 0.5, -0.5)
        handles, texts = axes[0].get_legend_handles_labels()
        legend = fig.legend(
            handles, texts, loc="outside lower center", ncols=min(len(detectors), 4),
            frameon=False, title=_spread(content),
        )  # fmt: skip
        legend.get_title().set(fontsize=8, color="0.35")
        for text in legend.get_texts():
            text.set_parse_math(False)
    return fig


def _title(content: Mapping[str, Any]) -> str:
    one = next(iter(content["configs"].values()))
    images = one.get("train_data") or content["runs"][0]["id"]
    return f"{', '.join(content['configs'])} on {images}; {_spread(content)}"


def _spread(content: Mapping[str, Any]) -> str:
    count = len(content["seeds"])
    return "one seed" if count == 1 else f"mean ± population deviation over {count} seeds"


def _in_order(content: Mapping[str, Any], *, of_groups: bool) -> Iterator[Row]:
    """The rows of groups, or of sets: what is to be compared stands one below the other."""
    rows = [r for r in content["rows"] if (r["ood"] == MEAN) == of_groups]
    first: dict[tuple, int] = {}
    for r in rows:
        first.setdefault((r["detector"], r["group"], r["ood"]), len(first))
    rows.sort(key=lambda r: first[r["detector"], r["group"], r["ood"]])  # stable: configs stay
    for r in rows:
        # The deviation of one number is not 0, it is unknown.
        yield r if r["runs"] > 1 else {k: v for k, v in r.items() if not k.endswith("_std")}


def _matching(rows: Sequence[Row], selected: Mapping[str, str]) -> Iterator[Row]:
    return (r for r in rows if all(r[k] == v for k, v in selected.items()))
