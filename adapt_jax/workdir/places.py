"""Where the checkpoints of a run are: a folder on a disk, or one in a bucket."""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, Protocol

from adapt_jax.core import files
from adapt_jax.runtime import buckets
from adapt_jax.workdir import integrity

_DONE = "commit_success.txt"  # Orbax writes it last


class Place(Protocol):
    """`path`/STEP is a checkpoint, which Orbax writes and reads."""

    path: Any

    def steps(self) -> list[int]:
        """The saved steps, ascending; some may be damaged."""

    def facts(self, step: int) -> dict[str, Any]:
        """Those of `integrity.facts`."""

    def settle(self, step: int) -> None:
        """Makes sure that a checkpoint survives the machine."""

    def remove(self, step: int) -> None:
        """Removes a checkpoint; a kill leaves none that looks whole."""

    def remove_unfinished(self) -> None:
        """Removes what killed programs left half written or half removed."""


def of(workdir: pathlib.Path) -> Place:
    """Where the run that works in this folder has its checkpoints."""
    home = buckets.home(pathlib.Path(workdir))
    if isinstance(home, pathlib.Path):
        return _OnDisk(home.absolute() / buckets.CHECKPOINTS)
    return _InBucket(home / buckets.CHECKPOINTS)


class _OnDisk:
    def __init__(self, path: pathlib.Path):
        self.path = path

    def steps(self) -> list[int]:
        return sorted(int(p.name) for p in self.path.glob("*") if p.name.isdigit())

    def facts(self, step: int) -> dict[str, Any]:
        return integrity.facts(self.path / str(step))

    def settle(self, step: int) -> None:
        files.sync_below(self.path / str(step))

    def remove(self, step: int) -> None:
        half = self.path / f"{step}.deleted"
        (self.path / str(step)).rename(half)
        shutil.rmtree(half, ignore_errors=True)

    def remove_unfinished(self) -> None:
        for path in self.path.glob("*") if self.path.is_dir() else ():
            if "orbax-checkpoint-tmp" in path.name or path.name.endswith(".deleted"):
                shutil.rmtree(path, ignore_errors=True)


class _InBucket:
    """There are no folders to rename there: a checkpoint is whole if the file `_DONE` is there."""

    def __init__(self, path: Any):
        self.path = path

    def steps(self) -> list[int]:
        folders = self._folders()
        return sorted(int(p.name) for p in folders if p.name.isdigit() and (p / _DONE).exists())

    def facts(self, step: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder, str(step), "metrics")
            copy.mkdir(parents=True)
            with contextlib.suppress(FileNotFoundError):
                source = self.path / str(step) / "metrics" / "metrics"
                (copy / "metrics").write_bytes(source.read_bytes())
            return integrity.facts(copy.parent)

    def settle(self, step: int) -> None:
        pass

    def remove(self, step: int) -> None:
        (self.path / str(step) / _DONE).unlink(missing_ok=True)
        (self.path / str(step)).rmtree()

    def remove_unfinished(self) -> None:
        for path in self._folders():
            if not (path / _DONE).exists():
                path.rmtree(missing_ok=True)

    def _folders(self) -> Iterator[Any]:
        with contextlib.suppress(FileNotFoundError):
            yield from self.path.iterdir()
