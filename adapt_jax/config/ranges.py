"""The range of every numeric field of both configs: one table, one sentence."""

from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

from adapt_jax.core import generator
from adapt_jax.core.errors import InputError

_STEPS = 2**31 - 1  # steps are counted in int32
_FLOAT32 = 3.4e38  # computed with in float32


class Range(NamedTuple):
    """Numbers from `low` to `high`, without `high` where it is `open`."""

    low: float
    high: float
    open: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is a number within; NaN, which compares with nothing, never is."""
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        number = value if isinstance(value, int) else float(value)  # integers have no largest
        return self.low <= number < self.high if self.open else self.low <= number <= self.high

    def __str__(self) -> str:
        most = f"{'below' if self.open else 'at most'} {self.high:.10g}"
        return f"at least {self.low:g} and {'finite' if self.high == _FLOAT32 else most}"


_COUNT, _AMOUNT = Range(1, _STEPS), Range(0, _STEPS)
_SHARE, _ANY = Range(0, 1), Range(0, _FLOAT32)

RANGES = {
    "seed": Range(0, generator.SEEDS - 1),
    **dict.fromkeys(
        (
            "batch_size", "microbatches", "image_size", "views", "log_every", "checkpoint_every",
            "eval_batch_size", "prefetch", "model.embedding_dim", "text_batch_size",
            "image_batch_size", "stream.batch_size", "stream.count",
        ),
        _COUNT,
    ),
    **dict.fromkeys(
        (
            "epochs", "total_steps", "input_workers", "bootstrap", "negatives.count",
            "preprocess.resize",
        ),
        _AMOUNT,
    ),
    **dict.fromkeys(
        (
            "augment.flip", "augment.jitter_probability", "augment.grayscale",
            "negatives.percentile", "negatives.fraction", "negatives.near_duplicate",
        ),
        _SHARE,
    ),
    **dict.fromkeys(
        (
            "optimizer.learning_rate", "optimizer.weight_decay", "optimizer.warmup_epochs",
            "augment.brightness", "augment.contrast", "augment.saturation", "model.feature_norm",
        ),
        _ANY,
    ),
    "optimizer.momentum": Range(0, 1, open=True),
    "augment.hue": Range(0, 0.5),
}  # fmt: skip


def check(fields: Mapping[str, Any]) -> None:
    """Finds the first number out of its range.

    Args:
      fields: fields of a config, flat ("optimizer.momentum"); None for a field that is not set.

    Raises:
      InputError: names the field, the range and what was given.
    """
    for field, allowed in RANGES.items():
        value = fields.get(field)
        if value is not None and not allowed.holds(value):
            raise InputError(f"config field {field} must be {allowed}, got {value!r}")
