"""Unpacking zip and tar archives of strangers: regular files, inside their folder, or nothing.

Everything goes to a temporary folder that is renamed when complete, so a folder with the final name
is never half full.
"""

import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from adapt_jax.core.errors import InputError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
EXPANSION = 100  # images hardly compress, lists of names about tenfold
ALLOWANCE = 1 << 30
CHUNK = 1 << 20
LONGEST_HEADER = 1 << 20  # bytes of a tar header that says a name; it is read into memory
SMALLEST = 512  # bytes that every entry counts as, for they take room on the disk as well


class _Entry(NamedTuple):
    """A regular file of an archive, or a folder, which has no content to open."""

    name: str
    size: int
    open: Callable[[], IO[bytes]] | None


class _Header(tarfile.TarInfo):
    """A tar header that refuses to read a name of gigabytes."""

    def _proc_member(self, file):
        # Where tarfile lets subclasses decide what becomes of a member.
        if self.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) and self.size > LONGEST_HEADER:
            raise InputError(f"{file.name} has a header of {self.size:,} bytes; refused")
        return super()._proc_member(file)


def extract(archive: Path, folder: Path, *, limit: int | None = None) -> int:
    """Unpacks an archive into `folder`, which must not exist or be empty.

    If all files lie below one top folder with the name of `folder`, that level is left out.
    `__MACOSX` and files starting with `._` are skipped.

    Args:
      archive: path of an archive whose name ends as in SUFFIXES.
      folder: folder to create.
      limit: largest number of bytes to unpack; by default 100 times the archive's size and at least
        1 GiB.

    Returns: how many files.

    Raises:
      InputError: a path that leaves the folder, a link, a device, an encrypted or damaged file,
        more bytes than `limit` or than the disk has; nothing is left behind.
    """
    if limit is None:
        limit = max(ALLOWANCE, EXPANSION * archive.stat().st_size)
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir(parents=True)
    try:
        files = total = 0
        for entry in _entries(archive):
            total += max(entry.size, SMALLEST)
            if total > limit:
                raise InputError(f"{archive} would unpack to more than {limit:,} bytes; refused")
            if entry.open is not None and not _skipped(entry.name):
                _copy(entry, temporary / _inside(archive, entry.name))
                files += 1
        if not files:
            raise InputError(f"{archive} has no file in it")
        top = list(temporary.iterdir())
        single = len(top) == 1 and top[0].is_dir() and top[0].name == folder.name
        if folder.is_dir():
            folder.rmdir()  # fails unless empty
        os.rename(top[0] if single else temporary, folder)
        return files
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise InputError(f"{archive} is damaged ({error}); delete it and fetch it again") from error
    except (NotImplementedError, RuntimeError) as error:  # unknown compression, a password
        raise InputError(f"{archive} cannot be unpacked ({error})") from error
    except OSError as error:
        raise InputError(f"cannot unpack {archive} to {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _entries(archive: Path) -> Iterator[_Entry]:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            for item in file.infolist():
                kind = stat.S_IFMT(item.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _unusual(archive, item.filename)
                folder = item.filename.endswith("/")
                opened = None if folder else partial(file.open, item)
                yield _Entry(item.filename, 0 if folder else item.file_size, opened)
    elif archive.name.endswith(SUFFIXES):
        with tarfile.open(archive, tarinfo=_Header) as tar:
            while (member := tar.next()) is not None:
                vars(tar)["members"] = []  # it would remember every one of them
                if not member.isdir() and member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    raise _unusual(archive, member.name)
                opened = None if member.isdir() else partial(tar.extractfile, member)
                yield _Entry(member.name, 0 if member.isdir() else member.size, opened)
    else:
        raise InputError(f"{archive} is no archive; expected a name in {', '.join(SUFFIXES)}")


def _unusual(archive: Path, name: str) -> InputError:
    return InputError(f"{archive} holds {name!r}, a link or device; such archives are refused")


def _inside(archive: Path, name: str) -> Path:
    """The relative path of an entry; InputError if it leads anywhere else."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or re.match(r"/|[A-Za-z]:", name) or "\\" in name:
        raise InputError(f"{archive} holds the path {name!r}, which leaves its folder; refused")
    return Path(*parts)


def _skipped(name: str) -> bool:
    path = PurePosixPath(name)
    return "__MACOSX" in path.parts or path.name.startswith("._")


def _copy(entry: _Entry, path: Path) -> None:
    """Writes as many bytes as the entry has declared, to a new file without its permissions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = entry.size
    with entry.open() as source, open(path, "xb") as target:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                break
            target.write(chunk)
    if left:
        raise EOFError(f"{entry.name} is not as long as the archive says")
