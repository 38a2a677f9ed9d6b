"""Decoded arrays on disk, so that a data set of image files is decoded once per machine.

A cache file is an ordinary `.npy` followed by the sha256 of its data: one file, hence replaced
atomically, and a truncated or damaged one is noticed and rebuilt.
"""

import contextlib
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from adapt_jax.core.file_names import encoded
from adapt_jax.core.files import TEMPORARY, cache_folder

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None


def array(
    key: str,
    shape: tuple[int, ...],
    dtype: np.typing.DTypeLike,
    blocks: Callable[[], Iterator[np.ndarray]],
    cache_dir: str | os.PathLike | None = None,
) -> np.ndarray:
    """The array that `blocks()` yields piece by piece along axis 0, from disk if it is there.

    Args:
      key: everything the content depends on, as text; its sha256 is the file's name.
      shape, dtype: shape and dtype of the whole array.
      blocks: function that computes the content; called only when there is no valid file (and once
        more if the disk fills up on the way).
      cache_dir: folder of the cache, see `core.files.cache_folder`. If nothing can be written
        there, the array is made in memory.

    Returns: a read-only memory map of the file, or an ordinary array.
    """
    name = hashlib.sha256(encoded(key)).hexdigest()
    path = cache_folder(cache_dir) / "arrays" / f"{name}.npy"
    cached = _read(path, shape, dtype)
    if cached is not None:
        return cached
    try:
        _write(path, shape, dtype, blocks)
        cached = _read(path, shape, dtype)
    except OSError as error:
        # Decoding raises InputError, so this is the disk.
        warnings.warn(
            f"decoded images are not kept: cannot write to {path.parent} ({error.strerror}); "
            "set ADAPT_JAX_CACHE to a folder with space",
            stacklevel=2,
        )
    return collect(shape, dtype, blocks()) if cached is None else cached


def collect(shape: tuple[int, ...], dtype, blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The blocks as one array in memory."""
    whole, start = np.empty(shape, dtype), 0
    for block in blocks:
        whole[start : start + len(block)] = block
        start += len(block)
    return whole


def _write(path: Path, shape, dtype, blocks) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            if fcntl is not None:
                _hold(file)
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                "fortran_order": False,
                "shape": shape,
            }
            np.lib.format.write_array_header_1_0(file, header)
            digest = hashlib.sha256()
            # Plain writes, not a memory map: on a full disk that would be a SIGBUS.
            for block in blocks():
                data = np.ascontiguousarray(block, dtype).data
                digest.update(data)
                file.write(data)
            file.write(digest.digest())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _hold(file) -> bool:
    """Locks a file until it is closed; False where another program holds it, or nobody can."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_abandoned(folder: Path) -> None:
    """Removes unfinished files whose programs were killed: nobody holds them any more."""
    for path in folder.glob(f"*{TEMPORARY}") if fcntl is not None else ():
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if _hold(file):
                path.unlink()


def _read(path: Path, shape, dtype) -> np.ndarray | None:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if mapped.shape != shape or mapped.dtype != np.dtype(dtype):
            return None
        with open(path, "rb") as file:
            file.seek(mapped.offset + mapped.nbytes)
            stored = file.read()
    except (OSError, ValueError, EOFError):
        return None
    return mapped if stored == hashlib.sha256(mapped.data).digest() else None
