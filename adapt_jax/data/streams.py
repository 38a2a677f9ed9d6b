"""Streams of images: which images a detector sees, in what order and in what batch size.

Every OOD set makes a stream of its own, with the ID test set (YBZh/OpenOOD-VLM).
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError

ORDERS = ("shuffled", "interleaved", "id_first", "ood_first")
ALL = "all"


class Settings(NamedTuple):
    """How streams are made, see `make`."""

    order: str
    batch_size: int
    mix: str
    seed: int
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count

    @property
    def draws(self) -> bool:
        """Whether some images may be left out."""
        return self.mix != ALL or self.count is not None

    def fields(self) -> dict[str, str | int]:
        """What every result row says about them."""
        about: dict[str, str | int] = {
            "stream_order": self.order,
            "stream_mix": self.mix,
            "batch_size": self.batch_size,
            "stream_seed": self.seed,
        }
        return about if self.count is None else about | {"stream_count": self.count}


def make(
    order: str = "shuffled",
    batch_size: int = 256,
    mix: str = ALL,
    seed: int = 0,
    *,
    full_spectrum: bool = False,
    count: int | None = None,
) -> Settings:
    """Settings without mistakes.

    Args:
      order: order of ID and OOD images, one of `ORDERS`.
      batch_size: number of images per batch.
      mix: share of ID and OOD images: "all", or a ratio such as "10:1".
      seed: seed that decides which images a mix takes, and their order.
      full_spectrum: whether covariate-shifted ID sets are in the streams, too.
      count: number of images in the longest stream, at most; None for all there are.

    Raises:
      InputError: an unknown order, or a mix that is no ratio or, like a count, does not go with
        full_spectrum.
    """
    if order not in ORDERS:
        raise InputError(f"unknown stream.order {order!r}; known: {', '.join(ORDERS)}")
    if mix != ALL:
        _ratio(mix)
        if full_spectrum:
            raise InputError(f"full_spectrum goes with stream.mix={ALL} only, got {mix!r}")
    if count is not None and full_spectrum:
        raise InputError(f"full_spectrum goes without stream.count, got {count}")
    return Settings(order, batch_size, mix, seed, count)


def mixed(id_count: int, ood_counts: Mapping[str, int], settings: Settings) -> dict[str, int]:
    """How many images of the ID set ("id") and of each OOD set take part.

    A ratio takes the same number everywhere, as many as all sets can give, so that the rows of one
    table are about the same ID images and can be averaged. A count takes the same share of every
    set, so many that the longest stream has that many images.

    Raises:
      InputError: some set is too small for the ratio or the count.
    """
    counts = {"id": id_count, **ood_counts}
    if settings.mix != ALL:
        own, other = _ratio(settings.mix)
        unit = min([id_count / own, *(count / other for count in ood_counts.values())])
        counts = {"id": int(unit * own)} | dict.fromkeys(ood_counts, int(unit * other))
    if settings.count is not None:
        longest = counts["id"] + max(counts[name] for name in ood_counts)
        part = min(Fraction(settings.count, max(longest, 1)), Fraction(1))
        counts = {name: int(part * count) for name, count in counts.items()}
    if not all(counts.values()):
        asked = "" if settings.count is None else f" with stream.count={settings.count}"
        raise InputError(
            f"stream.mix={settings.mix!r}{asked} leaves no image of one side: there are {id_count} "
            f"ID images and {min(ood_counts.values())} in the smallest OOD set"
        )
    return counts


def draw(total: int, count: int, settings: Settings) -> np.ndarray:
    """`count` of `total` images, ascending: the same ones for the same seed."""
    if count == total:
        return np.arange(total)
    return np.sort(np.random.default_rng(settings.seed).permutation(total)[:count])


def order(id_count: int, ood_count: int, settings: Settings) -> np.ndarray:
    """Positions in the concatenation of ID and OOD images, in the order they are seen.

    Whatever the order, each side is shuffled: a data set's own is usually sorted by class.
    """
    rng = np.random.default_rng(settings.seed)
    own, other = rng.permutation(id_count), id_count + rng.permutation(ood_count)
    if settings.order == "id_first":
        return np.concatenate([own, other])
    if settings.order == "ood_first":
        return np.concatenate([other, own])
    both = np.concatenate([own, other])
    if settings.order == "interleaved":
        time = [(np.arange(n) + 0.5) / n for n in (id_count, ood_count)]
        return both[np.argsort(np.concatenate(time), kind="stable")]
    return both[rng.permutation(len(both))]


def _ratio(text: str) -> tuple[Fraction, Fraction]:
    try:
        own, other = map(Fraction, text.split(":"))
        if own <= 0 or other <= 0:
            raise ValueError("a part is not positive")
    except (ValueError, ZeroDivisionError):
        raise InputError(
            f'stream.mix is "{ALL}" or a ratio of ID to OOD images such as "1:1" or "10:1", got '
            f"{text!r}"
        ) from None
    return own, other
