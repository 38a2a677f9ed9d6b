"""Picking implementations by name or by spec string, with errors that list what there is.

A spec string is a name with hyper-parameters: "knn?k=50&normalize=False". Configs and commands
give a line of them: "mahalanobis,knn?k=50", or "all".
"""

import ast
import dataclasses
import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from adapt_jax.core.errors import InputError

ALL = "all"
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Registry(Generic[T]):
    """The implementations of one kind.

    kind: what they are ("detector"), for messages.
    factories: the function that makes each, by name; all take keyword-only arguments.
    """

    kind: str
    factories: Mapping[str, Callable[..., T]]

    def names(self) -> tuple[str, ...]:
        """Every name that `make` knows."""
        return tuple(sorted(self.factories))

    def make(self, name: str, /, **hyper_parameters) -> T:
        """Makes one; the module of that name describes its hyper-parameters.

        Args:
          name: the implementation's name, or a spec string: "knn" or "knn?k=50".
          **hyper_parameters: hyper-parameters that are not in the spec string.

        Raises:
          ValueError: the name is unknown (the known ones are listed), the spec string cannot be
            read, or a value is out of its range.
          TypeError: a hyper-parameter is unknown, missing, or given twice (named).
        """
        spec, (name, given) = name, self._split(name)
        if twice := given.keys() & hyper_parameters.keys():
            raise TypeError(f"{self.kind} {spec!r}: {min(twice)} is given twice")
        given |= hyper_parameters
        parameters = self.parameters(name)
        for key, value in given.items():
            if key not in parameters:
                raise TypeError(
                    f"{self.kind} {name!r} has no hyper-parameter {key!r}{_hint(key, parameters)}; "
                    f"it has: {', '.join(parameters) or 'none'}"
                )
            if parameters[key].annotation is bool and not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name}: {key} is true or false, got {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: {key} must be finite, got {value!r}")
        missing = [k for k, p in parameters.items() if p.default is p.empty and k not in given]
        if missing:
            raise TypeError(f"{self.kind} {name!r} needs {', '.join(missing)}")
        return self.factories[name](**given)

    def parse(self, text: str) -> "tuple[Spec[T], ...]":
        """What a line of spec strings asks for; "all" is every implementation at its defaults.

        Raises:
          InputError: nothing is named, one is named twice, or one cannot be made.
        """
        specs: dict[str, Spec] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            if part == ALL:
                requested = [Spec(name, name, {}, self, named=False) for name in self.names()]
            else:
                requested = [Spec(part, *self._split(part), self)]
            for spec in requested:
                if spec.named and spec.text in specs and specs[spec.text].named:
                    raise InputError(f"{self.kind} {part!r} is named twice")
                spec.make()
                if spec.named or spec.text not in specs:
                    specs[spec.text] = spec
        if not specs:
            names = ", ".join(self.names())
            raise InputError(f"config field detectors is empty; known: {names}, or {ALL!r}")
        return tuple(specs.values())

    def parameters(self, name: str) -> Mapping[str, inspect.Parameter]:
        """The hyper-parameters of one implementation.

        Raises:
          ValueError: the name is unknown; the message lists the known ones.
        """
        if name not in self.factories:
            names = ", ".join(self.names())
            hint = _hint(name, self.factories)
            raise ValueError(f"unknown {self.kind} {name!r}{hint}; known: {names}")
        return inspect.signature(self.factories[name]).parameters

    def defaults(self, name: str) -> dict[str, Any]:
        """The hyper-parameters that have a default other than None, with it."""
        parameters = self.parameters(name).items()
        return {k: p.default for k, p in parameters if p.default not in (p.empty, None)}

    def _split(self, text: str) -> tuple[str, dict[str, Any]]:
        """The name and the hyper-parameters of a spec string."""
        name, _, query = text.partition("?")
        given = {}
        for item in filter(None, query.split("&")):
            key, equals, value = item.partition("=")
            if not equals:
                raise InputError(
                    f"{self.kind} {text!r}: write hyper-parameters as name?key=value&key=value"
                )
            if key in given:
                raise InputError(f"{self.kind} {text!r} gives {key} twice")
            given[key] = _read(value)
        return name, given


class Spec(NamedTuple, Generic[T]):
    """An implementation that was asked for.

    text: the spec string, its name in results.
    name, params: the same in parts.
    registry: what makes it.
    named: whether it was asked for by name and must work; what only "all" asked for is left out
      where it does not fit.
    """

    text: str
    name: str
    params: Mapping[str, Any]
    registry: Registry[T]
    named: bool = True

    def make(self, **searched) -> T:
        """The implementation; hyper-parameters that were searched replace those of the text.

        Raises:
          InputError: an unknown name or hyper-parameter, or a value out of its range.
        """
        try:
            return self.registry.make(self.name, **{**self.params, **searched})
        except (TypeError, ValueError) as e:
            raise InputError(f"config field detectors: {e}") from e


def _read(text: str):
    """true and false in any case, numbers and other literals, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "#" in text:  # Python would take what follows for a comment
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _hint(word: str, choices) -> str:
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
