"""results.json and results.csv: header, rows, reading and writing.

`results.json` is the header (what was evaluated, with what) plus `"rows"`; `results.csv` has the
same rows with the header's scalars in front, so that files of many runs can be stacked.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapt_jax.config.effects import Effect, changed
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import read_json, write_atomically
from adapt_jax.core.sheets import csv_text
from adapt_jax.results import result_rows
from adapt_jax.results.tables import Row
from adapt_jax.runtime import processes
from adapt_jax.runtime.provenance import commit, versions

_KINDS = {
    "protocol": str, "id": str, "seed": int, "method": str, "model": str, "checkpoint_sha256": str,
    "rows": list,
}  # fmt: skip
_FACTS = ("protocol", "id", "seed", "method", "model", "checkpoint_sha256")


def header(
    *, protocol: str, id: str, seed: int, method: str, model: str, checkpoint_sha256: str
) -> dict[str, Any]:
    """What was evaluated, and with which software: the head of `results.json`."""
    return {
        "protocol": protocol,
        "id": id,
        "seed": seed,
        "method": method,
        "model": model,
        "checkpoint_sha256": checkpoint_sha256,
        "versions": versions(),
        "commit": commit(),
    }


def write(
    workdir: str | os.PathLike, header: Mapping[str, Any], rows: Sequence[Row]
) -> dict[str, Any]:
    """Writes `results.json` and `results.csv`, each whole or not at all; process 0 does.

    Args:
      workdir: folder of the run.
      header: head of the file, see `header`.
      rows: result rows, in the order of the table.

    Returns:
      What `results.json` holds, as `read` reads it.

    Raises:
      InputError: the header lacks a field, or a value cannot be written (NaN included).
    """
    missing = [k for k in (*_FACTS, "versions", "commit") if k not in header]
    if missing:
        raise InputError(f"the result header lacks {', '.join(missing)}")
    try:
        text = json.dumps({**header, "rows": list(rows)}, indent=1, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise InputError(f"results cannot be written as JSON: {e}") from e
    if processes.is_main():
        _write(Path(workdir), header, rows, text)
    return json.loads(text)


def _write(workdir: Path, header: Mapping[str, Any], rows: Sequence[Row], text: str) -> None:
    facts = {k: header[k] for k in (*_FACTS, "commit")}
    columns = list(dict.fromkeys([*facts, *(k for r in rows for k in r)]))
    table = csv_text(({**facts, **r} for r in rows), columns)
    workdir.mkdir(parents=True, exist_ok=True)
    write_atomically(workdir / "results.json", (text + "\n").encode())
    write_atomically(workdir / "results.csv", table)


def read(workdir: str | os.PathLike) -> dict[str, Any]:
    """The content of `results.json`: the header's fields and `"rows"`.

    Raises:
      InputError: there is none, or it is not one of ours.
    """
    path = Path(workdir) / "results.json"
    remedy = "evaluate the run again" if path.exists() else "evaluate the run first"
    content = read_json(path, _KINDS, remedy)
    try:
        result_rows.check(content)
    except ValueError as e:
        raise InputError(f"{path} holds no results of this program ({e}); evaluate it again") from e
    return content


def finished(workdir: str | os.PathLike, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The results of a run that came to its end and was evaluated as its config says, or None.

    Args:
      workdir: folder of the run.
      settings: config of the run, as a dict.
    """
    try:
        results = read(workdir)
    except InputError:
        return None
    if changed(results.get("config", {}), settings, Effect.ROWS):
        return None
    # Somebody may have evaluated a stopped run by hand. The best state is never the proof.
    ended = results.get("step") == results.get("total_steps")
    return results if ended or settings.get("eval_checkpoint") == "best" else None
