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
STAGE = "stage"  # of a row: the stage that noted it, which pages do not show
JOINED = "joined with"
Tables = dict[str, dict[str, dict[str, Any]]]


def collect(notes: pathlib.Path) -> Tables:
    """{table: {row: values}} of a file of notes; later values of a row join the earlier ones."""
    tables: Tables = {}
    for line in notes.read_text().splitlines() if notes.exists() else ():
        note = json.loads(line)
        row = tables.setdefault(note["table"], {}).setdefault(note["row"], {})
        row |= note["values"] | ({STAGE: note[STAGE]} if note.get(STAGE) else {})
    return tables


def write(folder: pathlib.Path, tables: Tables, about: Mapping[str, str]) -> pathlib.Path:
    """Writes accelerator_DEVICE.md and .json into `folder`; the path of the page.

    Rows of stages that have not run again are taken from the files that are there, if they are of
    the same commit, device and versions; otherwise these are replaced. Rehearsals have files of
    their own, accelerator_DEVICE_rehearsal.

    Args:
      folder: where to.
      tables: from `collect`.
      about: what else belongs to the heading: date, command, driver.
    """
    folder.mkdir(parents=True, exist_ok=True)
    machine = tables.get("machine", {}).get("machine", {})
    name = "_".join(str(machine.get("device", "unknown")).lower().split())
    name += "_rehearsal" if machine.get("rehearsal") else ""
    page = folder / f"accelerator_{name}.md"
    tables, about = _joined(page.with_suffix(".json"), tables, about)
    content = {"about": about, "machine": machine, "tables": tables}
    page.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    page.write_text(markdown(tables, machine, about))
    return page


def _joined(file: pathlib.Path, tables: Tables, about: Mapping[str, str]):
    """Tables and heading with what other stages left in an earlier file, if it is of the same."""
    try:
        earlier = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return tables, dict(about)
    machine, before = tables.get("machine", {}).get("machine", {}), earlier["about"]
    if not machine.get("commit") or earlier["machine"] != machine:
        return tables, dict(about)
    again = tables.get("stages", {})
    joined: Tables = {}
    for table, rows in earlier["tables"].items():
        stages = {row: row if table == "stages" else rows[row].get(STAGE) for row in rows}
        joined[table] = {row: rows[row] for row in rows if stages[row] not in again}
    for table, rows in tables.items():
        joined.setdefault(table, {}).update(rows)
    commands = before.pop(JOINED, "")
    if before != about:  # not written by this run
        command = f"{before.get('command')} ({before.get('date')})"
        commands = "; ".join(filter(None, [commands, command]))
    return joined, {**about, JOINED: commands}


def markdown(tables: Tables, machine: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """The page."""
    facts = {**about, **machine}
    rehearsal = ", rehearsal" if machine.get("rehearsal") else ""
    lines = [f"# {machine.get('device', 'No device')}{rehearsal}", ""]
    lines += [f"* {key}: {value}" for key, value in facts.items() if value not in ("", None)]
    for table, title in TITLES.items():
        if tables.get(table):
            lines += ["", f"## {title}", "", _table(tables[table])]
    return "\n".join(lines) + "\n"


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for values in rows.values() for key in values))
    columns = [column for column in columns if column != STAGE]
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
