"""The images a detector sees one after the other: which, in what order, in batches of what size.

Every OOD set makes a stream of its own, with the ID test set, and a fresh state (YBZh/OpenOOD-VLM).
"""

from collections import deque
from collections.abc import Callable, Mapping
from fractions import Fraction
from inspect import unwrap
from typing import NamedTuple

import jax
import numpy as np

from adapt_jax.core.errors import InputError

ORDERS = ("shuffled", "interleaved", "id_first", "ood_first")
ALL = "all"
_AHEAD = 2  # batches under way while the host prepares the next


class Settings(NamedTuple):
    """See `zero_shot_config`; `seed` decides which images a mix takes, and the order."""

    order: str
    batch_size: int
    mix: str
    seed: int

    def fields(self) -> dict[str, str | int]:
        """What every result row says about them."""
        return {
            "stream_order": self.order,
            "stream_mix": self.mix,
            "batch_size": self.batch_size,
            "stream_seed": self.seed,
        }


def parse(config) -> Settings:
    """The settings of a config.

    Raises:
      InputError: an unknown order, or a mix that is no ratio.
    """
    order, mix = config.stream.order, str(config.stream.mix)
    if order not in ORDERS:
        raise InputError(f"unknown stream.order {order!r}; known: {', '.join(ORDERS)}")
    if mix != ALL:
        _ratio(mix)
        if config.full_spectrum:
            raise InputError(f"full_spectrum goes with stream.mix={ALL} only, got {mix!r}")
    return Settings(order, config.stream.batch_size, mix, config.seed)


def mixed(id_count: int, ood_counts: Mapping[str, int], settings: Settings) -> dict[str, int]:
    """How many images of the ID set ("id") and of each OOD set take part.

    A ratio takes the same number everywhere, as many as all sets can give, so that the rows of one
    table are about the same ID images and can be averaged.

    Raises:
      InputError: some set is too small for the ratio.
    """
    if settings.mix == ALL:
        return {"id": id_count, **ood_counts}
    own, other = _ratio(settings.mix)
    unit = min([id_count / own, *(count / other for count in ood_counts.values())])
    found = {"id": int(unit * own)} | dict.fromkeys(ood_counts, int(unit * other))
    if not all(found.values()):
        raise InputError(
            f"stream.mix={settings.mix!r} leaves no image of one side: there are {id_count} ID "
            f"images and {min(ood_counts.values())} in the smallest OOD set"
        )
    return found


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


def scores(
    step: Callable,
    state,
    images: np.ndarray,
    order: np.ndarray,
    batch_size: int,
    done: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """Scores (N,) of images (N, D), which are seen in `order`, in the order of `images`.

    Args:
      step: of a detector, from `compiled`.
      state: where the stream begins; given up.
      images: unit rows.
      order: (N,), a permutation.
      batch_size: images at a time; the last batch is padded.
      done: told how many are done, after every batch.
    """
    result = np.empty(len(images), images.dtype)
    pending: deque = deque()
    count = 0

    def finish() -> None:
        nonlocal count
        chosen, values = pending.popleft()
        result[chosen] = np.asarray(values)[: len(chosen)]
        count += len(chosen)
        done(count)

    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = np.zeros((batch_size, images.shape[1]), images.dtype)
        batch[: len(chosen)] = images[chosen]
        values, state = step(state, batch, np.arange(batch_size) < len(chosen))
        pending.append((chosen, values))
        if len(pending) > _AHEAD:
            finish()
    while pending:
        finish()
    return result


def compiled(step: Callable) -> Callable:
    """A detector's step that updates its state in place, instead of copying it for every batch."""
    return jax.jit(jax.named_scope("score")(step), donate_argnums=0)


def is_static(step: Callable, state, width: int) -> bool:
    """Whether `step` hands its state back as it came, so that order and batches do not matter."""
    images = jax.ShapeDtypeStruct((2, width), np.float32)
    valid = jax.ShapeDtypeStruct((2,), np.bool_)
    trace = jax.make_jaxpr(unwrap(step))(state, images, valid).jaxpr
    leaves = len(jax.tree.leaves(state))
    return list(trace.outvars[1:]) == list(trace.invars[:leaves])


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
