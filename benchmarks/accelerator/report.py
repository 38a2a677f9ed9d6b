"""One Markdown page and one JSON file from what the stages noted."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

TITLES = {
    "right": "Right on the device",
    "training": "Training speed",
    "phases": "Share of a step, by phase",
    "pytorch": "Against PyTorch, in turns in the same run",
    "scoring": "Scoring",
    "rows": "Training rows",
    "stages": "Stages",
}
Tables = dict[str, dict[str, dict[str, Any]]]


def collect(notes: pathlib.Path) -> Tables:
    """{table: {row: values}} of a file of notes; later values of a row join the earlier ones."""
    tables: Tables = {}
    for line in notes.read_text().splitlines() if notes.exists() else ():
        note = json.loads(line)
        tables.setdefault(note["table"], {}).setdefault(note["row"], {}).update(note["values"])
    return tables


def write(folder: pathlib.Path, tables: Tables, about: Mapping[str, str]) -> pathlib.Path:
    """Writes accelerator_DEVICE.md and .json into `folder`; the path of the page.

    Args:
      folder: where to.
      tables: from `collect`.
      about: what else belongs to the heading: date, command, driver.
    """
    folder.mkdir(parents=True, exist_ok=True)
    machine = tables.get("machine", {}).get("machine", {})
    name = "_".join(str(machine.get("device", "unknown")).lower().split())
    page = folder / f"accelerator_{name}.md"
    content = {"about": dict(about), "machine": machine, "tables": tables}
    page.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    page.write_text(markdown(tables, machine, about))
    return page


def markdown(tables: Tables, machine: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """The page."""
    facts = {**about, **machine}
    lines = [f"# {machine.get('device', 'No device')}", ""]
    lines += [f"* {key}: {value}" for key, value in facts.items() if value not in ("", None)]
    for table, title in TITLES.items():
        if table in tables:
            lines += ["", f"## {title}", "", _table(tables[table])]
    return "\n".join(lines) + "\n"


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for values in rows.values() for key in values))
    lines = [f"|  | {' | '.join(columns)} |", "| --- " + "| ---: " * len(columns) + "|"]
    for row, values in rows.items():
        cells = (_text(values.get(column, "")) for column in columns)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace("|", "\\|")
