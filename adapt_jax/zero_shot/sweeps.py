"""One set of embeddings in streams of several orders, with several seeds: how much order matters.

One table, mean and population deviation over the seeds, as orders.md, orders.csv and orders.json.
"""

import itertools
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from adapt_jax.core.files import write_atomically
from adapt_jax.core.registry import Spec
from adapt_jax.core.sheets import csv_text
from adapt_jax.data import streams
from adapt_jax.results import tables
from adapt_jax.results.result_rows import METRICS
from adapt_jax.results.scored import lacking
from adapt_jax.results.tables import Row
from adapt_jax.zero_shot import scoring
from adapt_jax.zero_shot.plan import Sweep
from adapt_jax.zero_shot.scoring import Task

FILES = ("orders.md", "orders.csv", "orders.json")
KEYS = {"detector": "detector", "stream_order": "order", "ood": "OOD set", "group": "group"}


def run(
    specs: Sequence[Spec],
    task: Task,
    sweep: Sweep,
    report_progress: Callable[[str], None],
) -> list[Row]:
    """Scores every stream; a detector that does not adapt has the same row for every order.

    Args:
      specs: the detectors.
      task: the embeddings; order and seed of its settings are replaced.
      sweep: orders and seeds of the streams.
      report_progress: function called with a line about progress and speed.

    Returns:
      Rows with the mean of each metric over the seeds, `<metric>_std` where there are several, and
      `runs`, detector by detector.

    Raises:
      InputError: a detector cannot be used; says why.
    """
    found: dict[tuple, list[Row]] = {}
    static: list[Row] = []  # rows that order and seed do not change
    for order, seed in itertools.product(sweep.orders, sweep.seeds):
        report_progress(f"order {order}, seed {seed}")
        settings = task.settings._replace(order=order, seed=seed)
        mixed = scoring.mixed(task._replace(settings=settings))
        known = {row["detector"] for row in static}
        rows = [row | settings.fields() for row in static]
        if left := [spec for spec in specs if spec.text not in known]:
            scored = scoring.run(left, mixed, report_progress=report_progress)
            lacking(scored)
            rows += scored.rows
        if not found and settings.mix == streams.ALL:
            static = [row for row in rows if not row["adaptive"]]
        for row in rows:
            found.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    position = {spec.text: i for i, spec in enumerate(specs)}
    rows = [_mean(same) for same in found.values()]
    return sorted(rows, key=lambda row: position[row["detector"]])


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
    """Writes `FILES` and shows the table.

    Args:
      workdir: folder of the job.
      rows: rows of `run`.
      sweep: orders and seeds of the streams.
      protocol: protocol of the results.
      console: console that the table goes to.
    """
    seeds = ", ".join(map(str, sweep.seeds))
    note = f"- protocol: {protocol}\n- mean and deviation over the stream seeds {seeds}\n"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    content = {"protocol": protocol, **sweep._asdict(), "rows": list(rows)}
    texts = (
        tables.markdown(rows, keys=KEYS) + note,
        csv_text(rows, columns),
        json.dumps(content, indent=1, allow_nan=False) + "\n",
    )
    for name, text in zip(FILES, texts):
        write_atomically(workdir / name, text)
    console.print(tables.table(rows, title="orders of streams", keys=KEYS))
    console.print(f"orders:  {', '.join(str(workdir / name) for name in FILES)}", highlight=False)
