"""The folder of a stream: its checkpoint, replaced whole after every batch, and its log.

`state.npz` holds what identifies the stream, its counters, and of every array of the detector's
state the rows that are not as in a fresh one: the bank, and classes that remember nothing, cost
nothing. `seen.jsonl` has a line per image. The checkpoint says how long the log is; what a killed
program has written beyond that is cut off.
"""

import io
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core import npz
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import open_unlinked, write_atomically

FORMAT = "adapt_jax stream 1"
STATE, LOG = "state.npz", "seen.jsonl"
_ABOUT, _ROWS = "about", "@"  # an array's name with _ROWS in front has the numbers of its rows

Arrays = Mapping[str, np.ndarray]


class Checkpoint(NamedTuple):
    """seen: images so far; logged: bytes of the log; arrays: the whole state by name."""

    seen: int
    logged: int
    arrays: dict[str, np.ndarray]


def save(folder: pathlib.Path, identity: Mapping[str, Any], now: Checkpoint, fresh: Arrays) -> None:
    """Replaces the checkpoint.

    Args:
      folder: folder of the stream.
      identity: values that tell the stream from others: run, detector, batch size.
      now: counters and arrays to save.
      fresh: state of a stream that has seen nothing.
    """
    about = {"format": FORMAT, **identity, "seen": now.seen, "logged": now.logged}
    content: dict[str, Any] = {_ABOUT: np.array(json.dumps(about))}
    for name, array in now.arrays.items():
        rows = _changed(array, fresh[name])
        if rows.size:
            content |= {name: np.atleast_1d(array)[rows], _ROWS + name: rows}
    file = io.BytesIO()
    np.savez(file, **content)
    write_atomically(folder / STATE, file.getvalue())


def load(folder: pathlib.Path, identity: Mapping[str, Any], fresh: Arrays) -> Checkpoint:
    """The checkpoint; of a new stream, what there is before its first image.

    Args:
      folder, identity, fresh: arguments of the same names of `save`.

    Raises:
      InputError: it is damaged, or belongs to another run, detector or batch size.
    """
    path, arrays = folder / STATE, {name: array.copy() for name, array in fresh.items()}
    if not path.exists():
        return Checkpoint(0, 0, arrays)
    try:
        stored = npz.read(path)
        about = json.loads(str(stored.pop(_ABOUT)))
        if about.pop("format") != FORMAT:
            raise ValueError(f"it is not of the format {FORMAT!r}")
        seen, logged = int(about.pop("seen")), int(about.pop("logged"))
        _check_same(folder, about, identity)
        for name in (name for name in stored if not name.startswith(_ROWS)):
            rows = np.atleast_1d(arrays[name])  # a view
            rows[stored[_ROWS + name]] = stored[name].astype(rows.dtype, casting="no")
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as e:
        raise InputError(f"{path} is damaged ({e}); begin a stream in another folder") from None
    return Checkpoint(seen, logged, arrays)


def _changed(array: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """The rows whose bits differ."""
    if not array.size:
        return np.zeros(0, np.int64)
    bits = [
        np.ascontiguousarray(np.atleast_1d(x)).reshape(len(np.atleast_1d(x)), -1).view(np.uint8)
        for x in (array, fresh)
    ]
    return np.flatnonzero((bits[0] != bits[1]).any(axis=1))


def _check_same(folder: pathlib.Path, known: Mapping, identity: Mapping[str, Any]) -> None:
    for name, value in identity.items():
        if known[name] != value:
            raise InputError(
                f"{folder} holds a stream with another {name} ({known[name]}, not {value}); give "
                "another folder for a new stream"
            )


def append(folder: pathlib.Path, logged: int, records: Sequence[Mapping[str, Any]]) -> int:
    """Writes lines behind the first `logged` bytes of the log; returns how long it is then."""
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    with open_unlinked(folder / LOG) as file:
        file.truncate(logged)
        file.seek(logged)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    return logged + len(lines)


def lines(folder: pathlib.Path, start: int, end: int) -> Iterator[dict[str, Any]]:
    """The records between two positions of the log."""
    if end > start:
        with open(folder / LOG, "rb") as file:
            file.seek(start)
            for line in file.read(end - start).splitlines():
                yield json.loads(line)
