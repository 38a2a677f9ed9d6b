"""The SHA-256 of files, remembered between runs as long as nothing about a file has changed.

Name, size, modification time, change time and inode of every file decide whether a remembered hash
is still right. A file that changed within the last seconds could change again without any of them
differing, on file systems with coarse clocks; its hash is not remembered.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from adapt_jax.core.files import file_sha256
from adapt_jax.data import cache

SETTLED = 3 * 10**9  # nanoseconds, more than the resolution of any file system's clock
_BLOCK = 4096  # files in work at a time


def sha256s(paths: Sequence[str], cache_dir: str | os.PathLike | None = None) -> list[str]:
    """The SHA-256 (hex) of every file, in order.

    Args:
      paths: paths of the files.
      cache_dir: folder in which hashes are cached, see `core.files.cache_folder`.

    Raises:
      OSError: a file cannot be read.
    """
    before = time.time_ns()
    states = [os.stat(path) for path in paths]

    def blocks() -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for start in range(0, len(paths), _BLOCK):
                yield np.stack(list(threads.map(_hashed, paths[start : start + _BLOCK])))

    shape = (len(paths), 32)
    if max(max(s.st_mtime_ns, s.st_ctime_ns) for s in states) > before - SETTLED:
        digests = cache.collect(shape, np.uint8, blocks())
    else:
        lines = (
            f"{path}\0{s.st_size}\0{s.st_mtime_ns}\0{s.st_ctime_ns}\0{s.st_ino}"
            for path, s in zip(paths, states)
        )
        digests = cache.array("\n".join(["contents", *lines]), shape, np.uint8, blocks, cache_dir)
    return [row.tobytes().hex() for row in np.asarray(digests)]


def _hashed(path: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(file_sha256(Path(path))), np.uint8)
