"""Range checks of hyper-parameters, in one voice."""

import math
from collections.abc import Sequence
from numbers import Integral, Real


def positive_int(**values: int) -> None:
    """Raises ValueError unless every value is an integer of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}")


def positive(**values: float) -> None:
    """Raises ValueError unless every value is a number above 0."""
    for name, value in values.items():
        if not (_is_number(value) and value > 0):
            raise ValueError(f"{name} must be positive, got {value!r}")


def non_negative(**values: float) -> None:
    """Raises ValueError unless every value is a number of at least 0."""
    for name, value in values.items():
        if not (_is_number(value) and value >= 0):
            raise ValueError(f"{name} must not be negative, got {value!r}")


def fraction(**values: float) -> None:
    """Raises ValueError unless every value lies in [0, 1]."""
    for name, value in values.items():
        if not (_is_number(value) and 0 <= value <= 1):
            raise ValueError(f"{name} must lie in [0, 1], got {value!r}")


def one_of(choices: Sequence[str], **values: str) -> None:
    """Raises ValueError unless every value is one of the choices."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
