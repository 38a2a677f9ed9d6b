"""One config with several values of one field, with several seeds: how much the field matters.

One table, mean and population deviation over the seeds of the streams, and one figure: sweep.md,
.csv, .json, .png and .svg, or orders.* where orders of streams are compared.
"""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from adapt_jax.core.files import write_atomically
from adapt_jax.core.registry import Spec
from adapt_jax.core.sheets import csv_text
from adapt_jax.data import streams
from adapt_jax.report import sweep_figure
from adapt_jax.results import tables
from adapt_jax.results.result_rows import METRICS
from adapt_jax.results.scored import lacking
from adapt_jax.results.tables import MEAN, Row
from adapt_jax.zero_shot import plan, scoring
from adapt_jax.zero_shot.plan import Sweep
from adapt_jax.zero_shot.scoring import Task

_KEYS = ("detector", "value", "ood", "group")


class Variant(NamedTuple):
    """One value of the field.

    value: as it was written.
    specs: the detectors, by their names in the table.
    task: the embeddings, and how streams are made of them but for the seed.
    """

    value: str
    specs: dict[str, Spec]
    task: Task


def run(
    variants: Sequence[Variant], seeds: Sequence[int], report_progress: Callable[[str], None]
) -> list[Row]:
    """Scores every variant with every seed; what a value or a seed cannot change is scored once.

    Args:
      variants: the values, with all that follows from them.
      seeds: seeds of the streams.
      report_progress: function called with a line about progress and speed.

    Returns:
      Rows with `value`, the mean of each metric over the seeds, `<metric>_std` where there are
      several, and `runs`, detector by detector.

    Raises:
      InputError: a detector cannot be used; says why.
    """
    over_seeds: dict[tuple, list[Row]] = {}
    known: dict[tuple, list[Row]] = {}
    for variant in variants:
        for seed in seeds:
            report_progress(f"{variant.value}, seed {seed}")
            settings = variant.task.settings._replace(seed=seed)
            task = scoring.mixed(variant.task._replace(settings=settings))
            for name, spec in variant.specs.items():
                key = (spec.text, id(variant.task.bank), *_matters(spec, settings))
                if key not in known:
                    scored = scoring.run([spec], task, report_progress=report_progress)
                    lacking(scored)
                    known[key] = scored.rows
                for row in known[key]:
                    row = row | settings.fields() | {"detector": name, "value": variant.value}
                    over_seeds.setdefault(tuple(row[k] for k in _KEYS), []).append(row)
    position = {name: i for i, name in enumerate(variants[0].specs)}
    rows = [_mean(same) for same in over_seeds.values()]
    return sorted(rows, key=lambda row: position[row["detector"]])


def _matters(spec: Spec, settings: streams.Settings) -> tuple:
    """What a detector's rows depend on, of how streams are made."""
    if not plan.is_static(spec):
        return tuple(settings)
    return (settings.mix, settings.count, settings.seed if settings.draws else None)


def _mean(rows: Sequence[Row]) -> Row:
    """One row of those that differ in their seed only."""
    row = {k: v for k, v in rows[0].items() if k not in ("stream_seed", *METRICS)}
    for name in METRICS:
        column = [r[name] for r in rows]
        row[name] = float(np.mean(column))
        if len(rows) > 1:
            row[f"{name}_std"] = float(np.std(column))
    return row | {"runs": len(rows)}


def write(workdir: pathlib.Path, rows: Sequence[Row], sweep: Sweep, protocol: str, console) -> None:
    """Writes the files and shows the table.

    Args:
      workdir: folder of the job.
      rows: rows of `run`.
      sweep: the field, its values, and the seeds.
      protocol: protocol of the results.
      console: console that the table goes to.
    """
    seeds = ", ".join(map(str, sweep.seeds))
    note = f"- protocol: {protocol}\n- mean and deviation over the stream seeds {seeds}\n"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    content = {"protocol": protocol, **sweep._asdict(), "rows": list(rows)}
    keys = {"detector": "detector", "value": sweep.field, "ood": "OOD set", "group": "group"}
    image = f"\n![{sweep.field}]({sweep.name}.png)\n"
    picture = sweep_figure.figure(rows, sweep.field, sweep.values)
    files: dict[str, bytes | str] = {
        "md": f"{tables.markdown(_shown(rows), keys=keys)}{note}{image}",
        "csv": csv_text(rows, columns),
        "json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        "png": sweep_figure.saved(picture, "png"),
        "svg": sweep_figure.saved(picture, "svg"),
    }
    for kind, data in files.items():
        write_atomically(workdir / f"{sweep.name}.{kind}", data)
    console.print(tables.table(_shown(rows), title=f"values of {sweep.field}", keys=keys))
    paths = ", ".join(str(workdir / f"{sweep.name}.{kind}") for kind in files)
    console.print(f"{sweep.name}:  {paths}", highlight=False)


def _shown(rows: Sequence[Row]) -> list[Row]:
    """Without the means of groups that have a single set."""
    sets: dict[str, set[str]] = {group: set() for group in (row["group"] for row in rows)}
    for row in rows:
        sets[row["group"]] |= {row["ood"]} - {MEAN}
    return [row for row in rows if row["ood"] != MEAN or len(sets[row["group"]]) > 1]
