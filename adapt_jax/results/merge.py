"""Tables over finished runs: `python -m adapt_jax.results merge RUN... [--format=latex]`.

Runs that differ in their seed only become one row with mean and population standard deviation
(divisor N, as Jingkang50/OpenOOD prints). Write `label=RUN` to name and group them yourself;
otherwise runs of one method and network belong together. Different protocols are refused.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from adapt_jax.core.errors import InputError
from adapt_jax.core.files import write_atomically
from adapt_jax.core.sheets import csv_text
from adapt_jax.results import aggregate, published, result_files, tables, ties
from adapt_jax.results.tables import MEAN, Row
from adapt_jax.runtime import buckets, cli, terminal

FORMATS = ("markdown", "latex", "csv", "json", "paper", "openood")
KEYS = {"run": "run", **tables.KEYS}
_SAME = ("protocol", "id", "full_spectrum", "lists_sha256")


def merge(runs: Sequence[str]) -> list[Row]:
    """Rows of all runs, aggregated over seeds, with the label under "run" and the protocol.

    Args:
      runs: folders (or files) that hold results.json, each optionally as "label=folder".

    Raises:
      InputError: a run has no results, protocols differ, or runs under one label differ in more
        than their seed.
    """
    merged = []
    for label, runs_of_label in _read(runs).items():
        members = [content for _, content in runs_of_label]
        try:
            rows = aggregate.aggregate(members)
        except InputError as e:
            raise InputError(f"{label}: {e}; to keep them apart, write label=RUN") from e
        if len(members) == 1:  # the deviation of one number is not 0, it is unknown
            rows = [{k: v for k, v in r.items() if not k.endswith("_std")} for r in rows]
        searched = {d for member in members for d in member.get("searched", ())}
        rows = [r | {"detector": _marked(r["detector"], searched)} for r in rows]
        protocol, accuracy = members[0]["protocol"], _accuracy(members)
        merged += [{"run": label, "protocol": protocol, **r, **accuracy} for r in rows]
    return merged


def ties_between(runs: Sequence[str], metric: str = "auroc") -> list[str]:
    """Sentences about the rows of `merge` that do not differ, see `results.ties`.

    Args:
      runs: the runs, as in `merge`.
      metric: the metric whose differences are tested.
    """
    by_label = _read(runs)
    folders = {
        label: [path for path, _ in runs_of_label] for label, runs_of_label in by_label.items()
    }
    rows = [r for runs_of_label in by_label.values() for r in runs_of_label[0][1]["rows"]]
    return ties.of_runs(folders, rows, metric)


def text(
    rows: Sequence[Row],
    kind: str,
    columns: Sequence[str] = tables.COLUMNS,
    keys: Mapping[str, str] = KEYS,
    notes: Sequence[str] = (),
) -> str:
    """The rows as a table in one of `FORMATS`; csv and json hold every field, as fractions.

    Args:
      rows: rows of the table, from `merge`.
      kind: format of the table, one of `FORMATS`.
      columns: metrics shown in markdown and latex.
      keys: fields that name a row there, with their headings.
      notes: sentences shown with those tables.

    Raises:
      InputError: an unknown format or column.
    """
    unknown = [c for c in columns if c not in tables.LABELS]
    if kind not in FORMATS or unknown:
        what = f"format {kind!r}" if kind not in FORMATS else f"column {unknown[0]!r}"
        raise InputError(
            f"unknown {what}; formats: {', '.join(FORMATS)}; columns: {', '.join(tables.LABELS)}"
        )
    if kind == "openood":
        return published.openood(rows)
    if kind == "json":
        return json.dumps(list(rows), indent=1, allow_nan=False) + "\n"
    if kind == "csv":
        return csv_text(rows, list(dict.fromkeys(k for r in rows for k in r)))
    protocols = dict.fromkeys(r["protocol"] for r in rows)  # one, see `merge`
    notes = [*(f"protocol: {p}" for p in protocols), *notes]
    if kind in ("latex", "paper"):
        table = (
            published.paper(rows, columns) if kind == "paper" else tables.latex(rows, columns, keys)
        )
        return "".join(f"% {n}\n" for n in notes) + table
    return tables.markdown(rows, columns, keys) + "".join(f"- {n}\n" for n in notes)


def _read(runs: Sequence[str]) -> dict[str, list[tuple[pathlib.Path, dict[str, Any]]]]:
    """Folder and results of every run, by label.

    Raises:
      InputError: no run, one without results, or different protocols.
    """
    if not runs:
        raise InputError("give one run or more: python -m adapt_jax.results merge RUN RUN ...")
    by_label: dict[str, list[tuple[pathlib.Path, dict[str, Any]]]] = {}
    first = None
    for text in runs:
        label, equals, place = text.partition("=")
        if pathlib.Path(text).expanduser().exists():  # its name has the sign in it
            equals, place = "", text
        path = buckets.local(place if equals else text)
        path = path.parent if path.name == "results.json" else path
        results = result_files.read(path)
        first = first or (path, results)
        _check_same(*first, path, results)
        by_label.setdefault(label if equals else _label(results), []).append((path, results))
    return by_label


def _marked(detector: str, searched: set[str]) -> str:
    """A detector whose hyper-parameters were searched has seen OOD images; a table says so."""
    return f"{detector} (searched)" if detector in searched else detector


def _accuracy(members: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """`accuracy` on ID test images and its deviation over seeds; {} without one of all runs."""
    for name in ("id_accuracy", "linear_probe_accuracy", "nearest_mean_accuracy"):
        values = [member[name] for member in members if name in member]
        if len(values) == len(members):
            spread = {"accuracy_std": float(np.std(values))} if len(values) > 1 else {}
            return {"accuracy": float(np.mean(values)), **spread}
    return {}


def _label(results: Mapping[str, Any]) -> str:
    return f"{results['method']}, {results['model']}"


def _check_same(path, results, other_path, other) -> None:
    """Raises InputError unless two runs were evaluated under one protocol on the same images."""
    same_images = results.get("lists_sha256") and results["lists_sha256"] == other.get(
        "lists_sha256"
    )
    for key in () if same_images else _SAME:  # wherever the images are
        a, b = results.get(key), other.get(key)
        if a != b and None not in (a, b):  # results of an older version lack some
            raise InputError(
                f"{path} and {other_path} differ in {key} ({a} and {b}): numbers of different "
                "protocols are not comparable; evaluate both alike"
            )
    sizes = {(r["ood"], r["group"]): (r["n_id"], r["n_ood"]) for r in results["rows"]}
    for r in other["rows"]:
        counts = sizes.get((r["ood"], r["group"]), (r["n_id"], r["n_ood"]))
        if counts != (r["n_id"], r["n_ood"]):
            raise InputError(
                f"{path} and {other_path} differ in the number of images of set {r['ood']}: "
                f"{counts[1]} and {r['n_ood']} (ID: {counts[0]} and {r['n_id']})"
            )


def main() -> None:
    """The command line."""
    kind = flags.DEFINE_string("format", "", f"One of {', '.join(FORMATS)}; console by default.")
    out = flags.DEFINE_string("out", "", "File to write instead of showing the table.")
    columns = flags.DEFINE_list(
        "columns", [], f"Metrics, by default {','.join(tables.COLUMNS)}; paper: fpr95,auroc."
    )
    detectors = flags.DEFINE_string("detector", "", "Only the rows of this detector.")
    groups = flags.DEFINE_bool("groups_only", False, "Means of groups only, not every set.")
    tested = flags.DEFINE_list(
        "test", ["auroc"], "Metrics whose differences are tested; --test= for none."
    )

    def job(arguments: list[str]) -> None:
        if not arguments or arguments[0] not in ("merge", "table"):
            raise InputError("usage: python -m adapt_jax.results merge RUN... [--format=latex]")
        rows, keys = merge(arguments[1:]), KEYS
        shown = columns.value or (published.COLUMNS if kind.value == "paper" else tables.COLUMNS)
        if detectors.value:
            names = dict.fromkeys(r["detector"] for r in rows)
            rows = [r for r in rows if r["detector"] == detectors.value]
            if not rows:
                raise InputError(f"no rows of {detectors.value!r}; there are {', '.join(names)}")
        if groups.value:
            rows = [r for r in rows if r["ood"] == MEAN]
            keys = {k: heading for k, heading in KEYS.items() if k != "ood"}
        plain = kind.value in ("csv", "json", "openood")
        notes = [n for m in tested.value if not plain for n in ties_between(arguments[1:], m)]
        table = text(rows, kind.value or "markdown", shown, keys, notes)  # checks columns
        if out.value:
            try:
                write_atomically(out.value, table)
            except OSError as e:
                raise InputError(f"--out={out.value} cannot be written: {e.strerror}") from e
            print(f"wrote {out.value}")
        elif kind.value:
            print(table, end="")
        else:
            console = terminal.console()
            console.print(tables.table(rows, shown, keys=keys))
            for note in notes:
                console.print(note, highlight=False, markup=False)

    cli.run(job, arguments=True)
