"""The option `unreadable=skip`: skips images that cannot be decoded, and counts them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data import cache, decode
from adapt_jax.data.base import Listing, Source
from adapt_jax.data.selection import Selection

_BLOCK = 4096  # images in work at a time


def left_out(parsed: Source, selection: Selection, cache_dir=None) -> tuple[Selection, int]:
    """A selection without the images that cannot be decoded if its source says so; their count.

    Args:
      parsed: the source.
      selection: images that the other options of the source leave.
      cache_dir: folder of the cache, see `readable`.

    Raises:
      InputError: none of the images can be decoded.
    """
    if parsed.unreadable is None:
        return selection, 0
    fine = readable(selection.listing, selection.indices, cache_dir)
    if not fine.any():
        raise InputError(f"{parsed.text!r}: none of its {len(fine):,} images can be read")
    labels = None if selection.labels is None else selection.labels[fine]
    return selection._replace(indices=selection.indices[fine], labels=labels), int((~fine).sum())


def readable(listing: Listing, indices: np.ndarray, cache_dir=None) -> np.ndarray:
    """(N,) bool: which of the images `indices` can be decoded; all of them are, once per content.

    Args:
      listing: the opened source.
      indices: indices (N,) of the images that the other options of the source leave.
      cache_dir: folder in which the answer is cached, see `core.files.cache_folder`.
    """

    def one(i: int) -> bool:
        try:
            decode.made(listing.image, i, listing.names[i], partial(decode.fit, size=1))
        except InputError:
            return False
        return True

    def blocks() -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for start in range(0, len(indices), _BLOCK):
                yield np.array(list(threads.map(one, indices[start : start + _BLOCK])))

    if listing.identity is None:  # such sources are arrays in memory
        return np.ones(len(indices), bool)
    key = f"readable {decode.RULES} {listing.identity(indices)}"
    return np.asarray(cache.array(key, (len(indices),), np.bool_, blocks, cache_dir))
