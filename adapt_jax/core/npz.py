"""Reading .npz archives of others: no pickle, and no more memory than the file may reasonably need.

A few kilobytes can claim to hold terabytes, in the archive's list of members or in the header of an
array; both are compared with what is there before anything is read.
"""

import math
import os
import struct
import zipfile
import zlib

import numpy as np

from adapt_jax.core.errors import InputError

EXPANSION = 100  # times the file's size; features of a trained network compress less than tenfold
ALLOWANCE = 1 << 30  # bytes that any file may unpack to
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGED = (
    OSError, ValueError, LookupError, EOFError, NotImplementedError, RuntimeError, MemoryError,
    struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


def read(path: str | os.PathLike, wanted: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an archive by name.

    Args:
      path: the file.
      wanted: names of the arrays to read, those that are there; None reads all.

    Raises:
      FileNotFoundError: there is no such file.
      InputError: it is no archive, damaged, holds pickled objects, or unpacks to too much; the
        message does not name the file.
    """
    try:
        size = os.stat(path).st_size
        if not zipfile.is_zipfile(path):
            raise InputError("it is a single array, or no NumPy file at all")
        with zipfile.ZipFile(path) as archive:
            _check(archive, size)
        # NumPy leaves a damaged file open if it opens it itself.
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if wanted is None or name in wanted}
    except (FileNotFoundError, InputError):
        raise
    except _DAMAGED as e:
        raise InputError(str(e).strip() or type(e).__name__) from None


def names(path: str | os.PathLike) -> list[str]:
    """The names of the arrays of an archive that `read` has read."""
    with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
        return list(file.files)


def _check(archive: zipfile.ZipFile, size: int) -> None:
    """Raises InputError where the members, or the arrays in them, claim to be too large."""
    members = archive.infolist()
    limit = max(ALLOWANCE, EXPANSION * size)
    if (total := sum(member.file_size for member in members)) > limit:
        raise InputError(f"its arrays would take {total:,} bytes, more than {limit:,}")
    for member in members:
        if not member.filename.endswith(".npy"):
            continue
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            if version not in _HEADERS:
                raise InputError(f"array {member.filename} has the unknown format {version}")
            shape, _, dtype = _HEADERS[version](file)
            left = member.file_size - file.tell()
        if dtype.hasobject:
            raise InputError(
                f"array {member.filename} holds pickled Python objects, which are never loaded"
            )
        if math.prod(shape) * dtype.itemsize > left:
            raise InputError(f"array {member.filename} is shorter than its shape {shape} says")
