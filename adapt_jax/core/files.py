"""Files that are written whole or not at all, checked JSON, digests, and where caches live."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded

TEMPORARY = ".tmp"  # how the names of unfinished files end
_LONGEST_NAME = 120  # characters of a folder's name, which then fits every file system
_LARGEST_JSON = 1 << 28  # bytes


def write_atomically(path: str | os.PathLike, content: bytes | str) -> None:
    """Replaces a file by complete new content: a reader or a crash never sees half of it.

    The content is on the disk, not only in the operating system's memory, when this returns. Text
    becomes UTF-8; names of files that are not UTF-8 keep their bytes in it.
    """
    path = Path(path)
    if isinstance(content, str):
        content = encoded(content)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide results from colleagues
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as e:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(e, OSError) and e.errno:
            e.filename = str(path)  # a full disk does not say which file it was
        raise


def open_unlinked(path: str | os.PathLike) -> BinaryIO:
    """Opens a file for reading and writing, making it if need be; never what a link points to.

    Raises:
      OSError: it cannot be opened, or is a link.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o644), "r+b")


def sync(path: Path) -> None:
    """Has the operating system write a file's content, or a folder's list of names, to the disk."""
    with contextlib.suppress(OSError):  # some file systems cannot, and Windows has no such folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_below(folder: Path) -> None:
    """`sync` for a folder and everything in it."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
    sync(folder.parent)


def remove_unfinished(folder: Path) -> None:
    """Removes what killed programs left half written in a folder that nobody else writes."""
    for path in folder.glob(f".*{TEMPORARY}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_json(
    path: str | os.PathLike, kinds: Mapping[str, type | tuple[type, ...]], remedy: str
) -> dict[str, Any]:
    """A JSON object from a file, its fields of the expected types.

    Args:
      path: path of the file.
      kinds: type, or types, of each required field; further fields are allowed.
      remedy: advice to the user if the file is not as it should be.

    Raises:
      InputError: the file is missing, damaged, too large or too deeply nested, holds something
        else than an object, or a field is missing or of another type.
    """
    try:
        if (size := os.stat(path).st_size) > _LARGEST_JSON:
            raise ValueError(f"{size:,} bytes are too many")
        content = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; {remedy}") from None
    except OSError as e:
        raise InputError(f"{path} cannot be read ({e.strerror}); {remedy}") from None
    except (ValueError, RecursionError) as e:
        raise InputError(f"{path} is not valid JSON ({e}); {remedy}") from None
    return checked_fields(content, kinds, str(path), remedy)


def checked_fields(
    content: Any, kinds: Mapping[str, type | tuple[type, ...]], where: str, remedy: str
) -> dict[str, Any]:
    """`content`, which a file holds, if it is an object whose fields have the expected types.

    Args:
      content: content that was read.
      kinds: type, or types, of each required field, as in `read_json`.
      where: the file, and the place in it, for the error message.
      remedy: advice to the user, as in `read_json`.

    Raises:
      InputError: it is no object, or a field is missing or of another type.
    """
    if not isinstance(content, dict):
        raise InputError(f"{where} holds {_kind(content)} where an object is expected; {remedy}")
    for name, kind in kinds.items():
        if name not in content:
            raise InputError(f"{where} has no field {name!r}; {remedy}")
        wrong = isinstance(content[name], bool) and kind is not bool
        if wrong or not isinstance(content[name], kind):
            raise InputError(f"{where}: field {name!r} is {_kind(content[name])}; {remedy}")
    return content


def folder_name(text: str) -> str:
    """A text as the name of one folder or file, different for different texts.

    Letters, digits and . _ = & ? , + - stay as they are, everything else is percent-encoded; a name
    that is too long is cut and ends in a hash of the text.
    """
    name = urllib.parse.quote(text, safe="._=&?,+-", errors="surrogateescape").replace("~", "%7E")
    if not name.strip("."):  # "", "." and ".." are no names
        name = name.replace(".", "%2E") or "%"
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(encoded(text)).hexdigest()
        name = f"{name[: _LONGEST_NAME - 20]}%{digest[:16]}"
    return name


def disk_reason(error: Exception) -> str:
    """What the operating system said, in whatever another library has wrapped it."""
    text = str(error)
    match = re.search(r"No space left on device|Disk quota exceeded|Read-only file system", text)
    return match[0] if match else (text.strip() or type(error).__name__).splitlines()[0][:200]


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """`cache_dir`, else $ADAPT_JAX_CACHE, else adapt_jax in $XDG_CACHE_HOME or ~/.cache."""
    folder = cache_dir or os.environ.get("ADAPT_JAX_CACHE")
    if folder:
        return Path(os.path.expanduser(folder))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "adapt_jax"


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kind(value: Any) -> str:
    """What a value is called in JSON."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else f"the number {value}")
