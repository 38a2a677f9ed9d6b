"""Runs in a bucket, --workdir=gs://NAME/FOLDER or s3://: jobs work in a copy on their own machine.

`local` fetches the copy, and `push` sends back what a job has changed in it: before every
checkpoint and at the job's end. Checkpoints are not in the copy. All processes write and read them
in the bucket itself, which Orbax does (`home`). What is fetched and sent is told by the size and
time of files, and by what the bucket says of its objects.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from etils import epath

from adapt_jax.core import files, locks
from adapt_jax.core.errors import InputError, TrainingFailed

LOCK = ".lock"
CHECKPOINTS = "checkpoints"
_MARK = ".bucket.json"  # of a copy: its address, and what it had in common with the bucket
_TURN = ".turn"  # locked by who fetches the copy
_OWN = (LOCK, _MARK, _TURN)  # files of a copy that are not the run's
_SCHEMES = {"gs": "gcsfs", "s3": "s3fs"}  # and the packages that read them
_FACTS = ("size", "md5Hash", "ETag", "etag", "generation", "mtime")  # of an object, if it has them


def is_address(place: str | os.PathLike) -> bool:
    """Whether a work directory is the address of a folder in a bucket."""
    return bool(re.match(r"\w+://", str(place)))


def local(place: str | os.PathLike, *, write: bool = False) -> Path:
    """A run's folder on this machine: `place`, or the copy of a folder in a bucket, up to date.

    A copy that another program on this machine is working in is as new as the bucket, or newer.

    Args:
      place: a folder, or the address of one in a bucket.
      write: whether to make sure that the bucket can be written.

    Raises:
      InputError: the address is of an unknown kind, or the bucket cannot be used.
    """
    if not is_address(place):
        return Path(place).expanduser()
    address = str(place).rstrip("/")
    scheme = address.partition("://")[0]
    if scheme not in _SCHEMES:
        schemes = " and ".join(f"{name}://" for name in _SCHEMES)
        raise InputError(f"{address} cannot be used: of buckets, only {schemes} can")
    copy = files.cache_folder() / "buckets" / files.folder_name(address)
    if jax.process_index():  # several processes of one machine have a copy each
        copy = copy.with_name(f"{copy.name}.process{jax.process_index()}")
    copy.mkdir(parents=True, exist_ok=True)
    with files.open_unlinked(copy / _TURN) as turn, files.open_unlinked(copy / LOCK) as file:
        locks.acquire(turn, exclusive=True, wait=True)
        if locks.acquire(file, exclusive=True):
            try:
                _pull(copy, address)
                if write:
                    probe = _remote(address) / f".writable{jax.process_index()}{files.TEMPORARY}"
                    probe.write_text("")
                    probe.unlink(missing_ok=True)
            except ImportError:
                raise InputError(
                    f"{scheme}:// is read by {_SCHEMES[scheme]}, which is not installed: "
                    f"pip install {_SCHEMES[scheme]}"
                ) from None
            except Exception as e:  # every store has errors of its own
                raise InputError(
                    f"{address} cannot be used ({files.disk_reason(e)}); check its name and your "
                    "access to it"
                ) from e
    return copy


def home(folder: Path) -> Path | epath.Path:
    """Where a run is kept: the folder, or what it is a copy of."""
    mark = _mark(folder)
    return _remote(mark["address"]) if mark else folder


def push(folder: Path) -> None:
    """Sends what has changed in a copy to its bucket; of another folder, nothing.

    results.json comes last, and removals after it: until then the old one is there.

    Raises:
      TrainingFailed: the bucket cannot be written.
    """
    mark = _mark(folder)
    if not mark:
        return
    before, now = mark["files"], {name: _state(folder / name) for name in _names(folder)}
    changed = [name for name, state in now.items() if before.get(name, [None])[0] != state]
    gone = before.keys() - now.keys()
    try:
        store, root = _store(mark["address"])
        for name in sorted(changed, key=lambda name: (name == "results.json", name)):
            with open(folder / name, "rb") as source, store.open(f"{root}/{name}", "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        for name in gone:
            with contextlib.suppress(FileNotFoundError):
                store.rm_file(f"{root}/{name}")
        if changed or gone:
            there = _objects(store, root)
            both = {name: [state, there.get(name)] for name, state in now.items()}
            _remember(folder, mark["address"], both)
    except Exception as e:
        raise TrainingFailed(
            f"{mark['address']} cannot be written ({files.disk_reason(e)}); what is missing there "
            f"is in {folder} until the next job makes that folder like the bucket: copy what you "
            "need, then run the same command again"
        ) from e


def _pull(copy: Path, address: str) -> None:
    """Makes the copy what the bucket holds, but for checkpoints."""
    files.remove_unfinished(copy)
    before, kept = _mark(copy).get("files", {}), {}
    store, root = _store(address)
    there = _objects(store, root)
    for name, facts in there.items():
        path = copy / name
        if not path.is_file() or before.get(name) != [_state(path), facts]:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}{files.TEMPORARY}")
            with store.open(f"{root}/{name}", "rb") as source, open(unfinished, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            os.replace(unfinished, path)
        kept[name] = [_state(path), facts]
    for name in set(_names(copy)) - there.keys():
        (copy / name).unlink()
    _remember(copy, address, kept)


def _names(copy: Path) -> Iterator[str]:
    """The files of a copy that belong to the run."""
    for path in copy.rglob("*"):
        name = path.relative_to(copy)
        unfinished = any(part.endswith(files.TEMPORARY) for part in name.parts)
        if path.is_file() and name.as_posix() not in _OWN and not unfinished:
            yield name.as_posix()


def _objects(store: Any, root: str) -> dict[str, str]:
    """What the bucket says of every object of the run but checkpoints, by name.

    Raises:
      ValueError: an object's name would lie outside the copy.
    """
    facts = store.find(root, detail=True)
    names = {path: path.removeprefix(f"{root}/") for path in facts}
    for name in names.values():
        if {"", ".", ".."} & set(name.removesuffix("/").split("/")) and name:
            raise ValueError(f"the object {name!r} is no path below it")
    return {
        name: str([str(facts[path].get(fact)) for fact in _FACTS])
        for path, name in names.items()
        if not name.startswith(f"{CHECKPOINTS}/")
        and not name.endswith("/")
        and path != root
        and name not in _OWN
    }


def _state(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def _mark(folder: Path) -> dict[str, Any]:
    """What `_remember` wrote; {} of a folder that is no copy."""
    path = Path(folder) / _MARK
    kinds = {"address": str, "files": dict}
    return files.read_json(path, kinds, "delete it") if path.exists() else {}


def _remember(copy: Path, address: str, known: dict[str, list]) -> None:
    content = {"address": address, "files": known}
    files.write_atomically(copy / _MARK, json.dumps(content).encode())


def _store(address: str):
    """The file system of the bucket, and the run's path in it."""
    _remote(address)
    import fsspec

    return fsspec.core.url_to_fs(address)


def _remote(address: str) -> epath.Path:
    """The address as a path that Orbax takes, too."""
    import fsspec

    os.environ.setdefault("EPATH_USE_TF", "false")  # TensorFlow would be used where it is installed
    for name in ("gcs", "s3"):  # a listing that is remembered would hide what others have written
        fsspec.config.conf.setdefault(name, {}).setdefault("use_listings_cache", False)
    return epath.Path(address)
