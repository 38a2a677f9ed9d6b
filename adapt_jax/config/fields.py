"""Checks of the names and ranges of a training config's fields."""

from adapt_jax.config import default_config, ranges
from adapt_jax.config.diff import flatten
from adapt_jax.core.errors import InputError


def check(config) -> None:
    """Finds unknown and missing fields, and invalid values.

    Raises:
      InputError: names the first.
    """
    given, defaults = flatten(config.to_dict()), flatten(default_config().to_dict())
    free = "method.params."
    for key in sorted(given.keys() ^ defaults.keys()):
        if not key.startswith(free):
            word = "has no field" if key in given else "lacks the field"
            raise InputError(
                f"the config {word} {key!r}; see adapt_jax/config/defaults.py for all of them"
            )
    ranges.check(given)
    if config.eval_checkpoint not in ("last", "best"):
        raise InputError(f'eval_checkpoint is "last" or "best", got {config.eval_checkpoint!r}')


def check_bootstrap(resamples: int) -> None:
    """Raises InputError unless a config's number of resamples can be used; 0 asks for none."""
    if resamples and resamples < 2:
        raise InputError(f"bootstrap is 0 for none, or a number of resamples from 2: {resamples}")


def steps_range(text: str, what: str) -> tuple[int, int] | None:
    """The steps (first, last + 1) of "START:STOP"; None of "".

    Raises:
      InputError: anything else; `what` is where it was found.
    """
    if not text:
        return None
    start, _, stop = str(text).partition(":")
    if not (start.isdigit() and stop.isdigit() and int(start) < int(stop)):
        raise InputError(f'{what} must be "START:STOP", for example 20:25, got {text!r}')
    return int(start), int(stop)
