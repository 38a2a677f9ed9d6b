"""Image sets that are not decoded beforehand: an array's shape and indexing, without its memory."""

import functools
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from adapt_jax.core import patience
from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded
from adapt_jax.data import decode
from adapt_jax.data.base import Listing

_BLOCK = 4096  # images in work at a time


class LazyImages:
    """Images (N, S, S, 3) uint8 of a set that are decoded when they are asked for, in all cores.

    `images[i]`, `images[start:stop]` and `images[indices]` are ordinary arrays, cut by the rules of
    `decode`. An image that cannot be read raises InputError then, and is named.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, listing: Listing, indices: np.ndarray, size: int, resize: int | str | None = None
    ):
        """Takes images `indices` of a listing; `size` and `resize` as in `decode.fit`."""
        self._listing, self._indices = listing, indices
        self._fit = partial(decode.fit, size=size, resize=resize)
        self.shape = (len(indices), size, size, 3)
        self.nbytes = int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, which) -> np.ndarray:
        rows = np.arange(len(self))[which]
        if rows.ndim == 0:
            return self._decoded(int(rows))
        squares = np.empty((len(rows), *self.shape[1:]), np.uint8)
        coming = [self._threads.submit(self._decoded, i) for i in rows]
        for row, square in enumerate(coming):
            name = self.name(rows[row])
            squares[row] = patience.wait(square, f"image {name}".__str__)
        return squares

    def __array__(self, *args, **kwargs):
        """Refused: whoever needs all images at once must not be given these."""
        raise TypeError("these images are read a batch at a time; take a slice of them")

    def encoded(self, i: int) -> str | bytes | np.ndarray:
        """What `decode.opened` makes image i of."""
        encoded = self._listing.encoded or self._listing.image
        return encoded(self._indices[i])

    def name(self, i: int) -> str:
        """What errors call image i."""
        return self._listing.names[self._indices[i]]

    def problems(self) -> Iterator[str]:
        """Decodes all images; one sentence for each that cannot be read."""

        def problem(i: int) -> str:
            try:
                self._decoded(i)
            except InputError as error:
                return str(error)
            return ""

        for start in range(0, len(self), _BLOCK):
            part = range(start, min(start + _BLOCK, len(self)))
            yield from filter(None, self._threads.map(problem, part))

    def _decoded(self, i: int) -> np.ndarray:
        return decode.made(self._listing.image, self._indices[i], self.name(i), self._fit)

    @functools.cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count())


def content_sha256(
    listing: Listing, indices: np.ndarray, size: int, resize, labels: np.ndarray | None
) -> str:
    """sha256 (hex) over everything that is known of such a set without decoding it.

    labels (N,) are those of the images `indices`; the rest as for `LazyImages`.
    """
    rules = decode.RULES.split()[0]
    digest = hashlib.sha256(f"lazy {rules} {size} {resize} {labels is not None};".encode())
    if listing.identity is not None:
        digest.update(encoded(listing.identity(indices)))
    else:  # such sources are arrays in memory
        digest.update(np.ascontiguousarray(listing.pixels[indices]).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, np.int32).data)
    return digest.hexdigest()
