"""What has been fetched: an archive once downloaded, checked, unpacked and remembered.

`archives.json` in the data root records the SHA-256 of every archive and how many files it held.
The first download is trusted unless the catalogue knows better; every later one must equal it.
"""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from adapt_jax.core.errors import InputError
from adapt_jax.core.files import (
    checked_fields,
    file_sha256,
    open_unlinked,
    read_json,
    remove_unfinished,
    write_atomically,
)
from adapt_jax.data.download import fetch, unpack
from adapt_jax.data.download.catalogue import Archive

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

RECORD = "archives.json"
INBOX = "archives"  # where archives are while they are fetched, or put by hand


def is_archive(archive: Archive) -> bool:
    """Whether it is unpacked; otherwise the file itself is the data."""
    return archive.filename.endswith(unpack.SUFFIXES)


def place(archive: Archive, root: Path) -> Path:
    """The folder it becomes, or the file."""
    folder = root / archive.folder
    return folder if is_archive(archive) else folder / archive.filename


def present(archive: Archive, root: Path) -> bool:
    """Whether something is where it belongs; `verify` says whether that is complete."""
    target = place(archive, root)
    return target.is_file() or (target.is_dir() and any(target.iterdir()))


def obtain(
    archive: Archive,
    root: Path,
    *,
    mirror: str = "",
    sha256: str | None = None,
    keep: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
    **options,
) -> None:
    """Downloads an archive (or takes it from ROOT/archives) and unpacks it; nothing if it is there.

    Args:
      archive: the archive to obtain.
      root: the data root.
      mirror: URL prefix; MIRROR/FILENAME is tried first.
      sha256: required SHA-256, instead of that of the record or the catalogue.
      keep: whether the archive stays in ROOT/archives.
      progress: function called with the progress; this and further options are those of
        `fetch.fetch`.

    Raises:
      InputError: it cannot be obtained, is not what it should be, or another download is running.
    """
    target = place(archive, root)
    with _alone(root):
        if present(archive, root):
            return
        if not archive.url and not mirror:
            where = "" if is_archive(archive) else f", and save it as {target.absolute()}"
            raise InputError(f"{archive.name}: {archive.by_hand}{where}")
        recorded = record(root).get(archive.name, {}).get("sha256")
        wanted = (sha256 or recorded or archive.sha256 or "").lower() or None
        file, digest = root / INBOX / archive.filename, ""
        if file.is_file():
            digest = file_sha256(file)
            if not fetch.agrees(digest, wanted):
                raise InputError(
                    f"{file} has sha256 {digest} instead of {wanted}; delete it to fetch it, or "
                    f"accept it with --sha256={archive.name}={digest}"
                )
        else:
            urls = [f"{mirror.rstrip('/')}/{archive.filename}"] if mirror else []
            urls += [archive.url] if archive.url else []
            options |= {"by_hand": archive.by_hand, "progress": progress}
            size = archive.size if wanted == archive.sha256 else None
            digest = fetch.fetch(urls, file, size=size, sha256=wanted, **options)
        entry = {"file": archive.filename, "sha256": digest, "bytes": file.stat().st_size}
        if is_archive(archive):
            entry["files"] = unpack.extract(file, target)
            _remember(root, archive.name, entry)
            if not keep:
                file.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
            _remember(root, archive.name, entry)


def verify(archive: Archive, root: Path) -> str:
    """ "" if an archive's files are all there and as recorded, else what is wrong with them."""
    target, recorded = place(archive, root), record(root).get(archive.name, {})
    if not present(archive, root):
        return f"is not in {target}"
    if target.is_file():
        digest, wanted = file_sha256(target), recorded.get("sha256") or archive.sha256
        fine = fetch.agrees(digest, wanted)
        return "" if fine else f"{target} has changed: its sha256 is {digest}"
    if "files" not in recorded:
        return ""  # the user's own copy; what its lists name is checked with the suites
    count = sum(len(files) for _, _, files in os.walk(target))
    return (
        ""
        if count == recorded["files"]
        else f"{count:,} files of {recorded['files']:,} in {target}"
    )


def record(root: Path) -> dict[str, dict]:
    """archives.json: name -> file, sha256, bytes and, if it was unpacked, files."""
    path, remedy = root / RECORD, "repair or delete it"
    if not path.exists():
        return {}
    records = read_json(path, {}, remedy)
    for name, entry in records.items():
        checked_fields(entry, {"sha256": str}, f"{path}, {name}", remedy)
        for key in entry.keys() & {"files"}:
            checked_fields(entry, {key: int}, f"{path}, {name}", remedy)
    return records


def _remember(root: Path, name: str, entry: dict) -> None:
    text = json.dumps({**record(root), name: entry}, indent=1, sort_keys=True) + "\n"
    write_atomically(root / RECORD, text)


@contextlib.contextmanager
def _alone(root: Path):
    """One download at a time in a data root, also between processes."""
    folder = root / INBOX
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(root)
        with open_unlinked(folder / ".lock") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise InputError(f"another download is running in {root}") from error
            yield
    except OSError as error:
        raise InputError(f"cannot write to {root}: {error}") from error
