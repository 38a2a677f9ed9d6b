"""Range checks of hyper-parameters, which all raise the same kind of message."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from adapt_jax.core.errors import InputError


def positive_int(**values: Any) -> None:
    """Raises ValueError unless every value is an integer of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}")


def finite(**values: Any) -> None:
    """Raises ValueError unless every value is a finite number."""
    for name, value in values.items():
        if not _is_number(value):
            raise ValueError(f"{name} must be a finite number, got {value!r}")


def positive(**values: Any) -> None:
    """Raises ValueError unless every value is a number above 0."""
    for name, value in values.items():
        if not (_is_number(value) and value > 0):
            raise ValueError(f"{name} must be positive, got {value!r}")


def non_negative(**values: Any) -> None:
    """Raises ValueError unless every value is a number of at least 0."""
    for name, value in values.items():
        if not (_is_number(value) and value >= 0):
            raise ValueError(f"{name} must not be negative, got {value!r}")


def fraction(**values: Any) -> None:
    """Raises ValueError unless every value lies in [0, 1]."""
    for name, value in values.items():
        if not (_is_number(value) and 0 <= value <= 1):
            raise ValueError(f"{name} must lie in [0, 1], got {value!r}")


def one_of(choices: Sequence[str], **values: str) -> None:
    """Raises ValueError unless every value is one of the choices."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def channel_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises InputError unless these can normalise pixels that were divided by 255.

    Args:
      mean: mean of each channel, three numbers from 0 to 1.
      std: standard deviation of each channel, three numbers above 0 and up to 1.
    """
    shift, scale = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if shift.shape != (3,) or scale.shape != (3,) or not np.isfinite([shift, scale]).all():
        raise InputError(f"mean and std must be three finite numbers, got {shift} and {scale}")
    if (scale <= 0).any():
        raise InputError(f"std must be positive, got {scale}; is a channel of the images constant?")
    if (shift < 0).any() or max(shift.max(), scale.max()) > 1:
        # One of the two at most may already be on the right scale.
        divided = [tuple((x / 255 if x.max() > 1 else x).round(4).tolist()) for x in (shift, scale)]
        raise InputError(
            f"mean {shift} and std {scale} must be of pixels divided by 255, on the scale 0..1; if "
            f"they are of pixels from 0 to 255, give mean {divided[0]} and std {divided[1]}"
        )


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
