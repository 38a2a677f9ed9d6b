"""One-class detection: every class as ID in turn, side by side, and the mean over the classes."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from adapt_jax.core.files import write_atomically
from adapt_jax.core.sheets import csv_text
from adapt_jax.results.result_rows import METRICS
from adapt_jax.results.tables import MEAN, Row
from adapt_jax.runtime import provenance


def content(
    results: Sequence[tuple[str, str, Mapping[str, Any]]],
    files: Mapping[str, str],
    overrides: Sequence[str],
) -> dict[str, Any]:
    """The content of one_class.json.

    `rows`: per config, detector and class every metric's mean over the seeds and its population
    deviation `<metric>_std`; behind the classes of a config and detector their mean (`"class":
    "mean"`), whose deviation is that of the seeds' means over classes.

    Args:
      results: config, class and content of results.json of every run; each class has every seed.
      files: config file by name of the config.
      overrides: fields that were changed in all configs.
    """
    values: dict[tuple[str, str], dict[str, dict[int, Row]]] = {}
    for config, name, result in results:
        for row in result["rows"]:
            if row["ood"] != MEAN:
                by_class = values.setdefault((config, row["detector"]), {})
                by_class.setdefault(name, {})[result["seed"]] = row
    rows = []
    for (config, detector), by_class in values.items():
        head = {"config": config, "detector": detector}
        for name, by_seed in by_class.items():
            rows.append(head | {"class": name} | _over_seeds([[r] for r in by_seed.values()]))
        seeds = next(iter(by_class.values()))
        per_seed = [[by_seed[seed] for by_seed in by_class.values()] for seed in seeds]
        rows.append(head | {"class": MEAN} | _over_seeds(per_seed))
    return {
        "configs": dict(files),
        "seeds": sorted({result["seed"] for *_, result in results}),
        "overrides": list(overrides),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "rows": rows,
    }


def write(workdir: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes one_class.json, .csv and .md into `workdir`."""
    columns = list(dict.fromkeys(k for row in content["rows"] for k in row))
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(workdir / "one_class.json", text)
    write_atomically(workdir / "one_class.csv", csv_text(content["rows"], columns))
    write_atomically(workdir / "one_class.md", markdown(content))


def table(content: Mapping[str, Any]) -> Table:
    """AUROC per class and their mean, for the console."""
    heading, rows = _cells(content)
    shown = Table(title=Text(_title(content)))
    for i, name in enumerate(heading):
        shown.add_column(Text(name), justify="right" if i else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row), style="bold" if row[0] == MEAN else "")
    return shown


def markdown(content: Mapping[str, Any]) -> str:
    """one_class.md."""
    heading, rows = _cells(content)
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)]]
    lines += [[f"**{c}**" for c in row] if row[0] == MEAN else row for row in rows]
    table = "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)
    notes = [f"- `{name}`: {file}" for name, file in content["configs"].items()]
    notes += [f"- seeds {', '.join(map(str, content['seeds']))}"]
    notes += [f"- set for all: `{','.join(content['overrides'])}`"] if content["overrides"] else []
    return "\n".join([f"# {_title(content)}", "", *notes, "", table]) + "\n"


def _over_seeds(per_seed: Sequence[Sequence[Row]]) -> Row:
    """Mean and population deviation over seeds of the mean over rows."""
    summary: Row = {}
    for metric in METRICS:
        means = [float(np.mean([row[metric] for row in rows])) for rows in per_seed]
        summary |= {metric: float(np.mean(means)), f"{metric}_std": float(np.std(means))}
    return summary | {"runs": len(per_seed)}


def _cells(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    entries = list(dict.fromkeys((r["config"], r["detector"]) for r in content["rows"]))
    classes = list(dict.fromkeys(r["class"] for r in content["rows"]))
    value = {(r["config"], r["detector"], r["class"]): _percent(r) for r in content["rows"]}
    heading = ["ID class", *(f"{config}, {detector}" for config, detector in entries)]
    return heading, [[c, *(value.get((*e, c), "") for e in entries)] for c in classes]


def _percent(row: Row) -> str:
    cell = f"{100 * row['auroc']:.2f}"
    return cell if row["runs"] == 1 else f"{cell} ± {100 * row['auroc_std']:.2f}"


def _title(content: Mapping[str, Any]) -> str:
    count = len(content["seeds"])
    spread = "one seed" if count == 1 else f"mean ± population deviation over {count} seeds"
    return f"AUROC of one class against all others, percent; {spread}"
