"""Detectors by a config's one-line string: "mahalanobis,knn?k=50&normalize=False"."""

import ast

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors.base import Detector


def make(text: str) -> dict[str, Detector]:
    """Parses "mahalanobis,knn?k=50&normalize=False" into detectors by that name.

    Raises:
      InputError: nothing named, one named twice, or an unknown name or hyper-parameter.
    """
    made = {}
    for spec in filter(None, (part.strip() for part in text.split(","))):
        name, _, query = spec.partition("?")
        kwargs = {}
        for item in filter(None, query.split("&")):
            key, equals, value = item.partition("=")
            if not equals:
                raise InputError(
                    f"detector {spec!r}: write hyper-parameters as name?key=value&key=value"
                )
            kwargs[key] = _read(value)
        if spec in made:
            raise InputError(f"detector {spec!r} is named twice")
        try:
            for key, kind in detectors.annotations(name).items():
                if kind is bool and not isinstance(kwargs.get(key, True), bool):
                    raise ValueError(f"{name}: {key} is true or false, got {kwargs[key]!r}")
            made[spec] = detectors.make(name, **kwargs)
        except (TypeError, ValueError) as e:
            raise InputError(f"config field detectors: {e}") from e
    if not made:
        raise InputError(f"config field detectors is empty; known: {', '.join(detectors.names())}")
    return made


def _read(text: str):
    """true and false in any case, numbers and other literals, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
