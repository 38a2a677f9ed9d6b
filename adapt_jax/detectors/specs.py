"""Detectors by a config's one-line string: "mahalanobis,knn?k=50&normalize=False", or "all".

Those of `adapt_jax.detectors`, unless another folder with names, annotations and make is given.
"""

import ast
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Detector, ImageDetector

ALL = "all"


class Spec(NamedTuple):
    """A detector asked for: `text` names it in results, `named` whether it was asked for by name.

    What "all" stands for is left out where it does not fit; what was named must work. `registry` is
    the folder that makes it.
    """

    text: str
    name: str
    params: Mapping[str, Any]
    named: bool = True
    registry: ModuleType = detectors

    def make(self, **chosen) -> Detector | ImageDetector:
        """The detector, with hyper-parameters that were searched.

        Raises:
          InputError: an unknown name or hyper-parameter, or a value out of its range.
        """
        try:
            for key, kind in self.registry.annotations(self.name).items():
                if kind is bool and not isinstance(self.params.get(key, True), bool):
                    raise ValueError(
                        f"{self.name}: {key} is true or false, got {self.params[key]!r}"
                    )
            return self.registry.make(self.name, **{**self.params, **chosen})
        except (TypeError, ValueError) as e:
            raise InputError(f"config field detectors: {e}") from e


def parse(text: str, registry: ModuleType = detectors) -> tuple[Spec, ...]:
    """Parses "mahalanobis,knn?k=50&normalize=False"; "all" is every detector at its defaults.

    Raises:
      InputError: nothing named, one named twice, or an unknown name or hyper-parameter.
    """
    specs: dict[str, Spec] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part == ALL:
            found = [Spec(name, name, {}, False, registry) for name in registry.names()]
        else:
            found = [_spec(part)._replace(registry=registry)]
        for spec in found:
            if spec.named and spec.text in specs and specs[spec.text].named:
                raise InputError(f"detector {part!r} is named twice")
            spec.make()
            if spec.named or spec.text not in specs:
                specs[spec.text] = spec
    if not specs:
        known = ", ".join(registry.names())
        raise InputError(f"config field detectors is empty; known: {known}, or {ALL!r}")
    return tuple(specs.values())


def make(text: str, registry: ModuleType = detectors) -> dict[str, Any]:
    """The detectors of `parse(text)` by their text."""
    return {spec.text: spec.make() for spec in parse(text, registry)}


def _spec(text: str) -> Spec:
    name, _, query = text.partition("?")
    params = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(
                f"detector {text!r}: write hyper-parameters as name?key=value&key=value"
            )
        if key in params:
            raise InputError(f"detector {text!r} gives {key} twice")
        params[key] = _read(value)
    return Spec(text, name, params)


def _read(text: str):
    """true and false in any case, numbers and other literals, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
