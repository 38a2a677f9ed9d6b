"""Picking an implementation by name, with errors that list what there is."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def build(kind: str, factories: Mapping[str, Callable[..., Any]], name: str, kwargs: dict) -> Any:
    """Calls `factories[name](**kwargs)`.

    Args:
      kind: what is being made ("method", "detector"), for the messages.
      factories: every known factory; all take keyword-only arguments.
      name: which one.
      kwargs: its hyper-parameters.

    Raises:
      ValueError: the name is unknown; the message lists the known ones.
      TypeError: a hyper-parameter is unknown or missing; the message names it and its choices.
    """
    parameters = _parameters(kind, factories, name)
    for key in kwargs:
        if key not in parameters:
            raise TypeError(
                f"{kind} {name!r} has no hyper-parameter {key!r}{_hint(key, parameters)}; "
                f"it has: {', '.join(parameters) or 'none'}"
            )
    missing = [k for k, p in parameters.items() if p.default is p.empty and k not in kwargs]
    if missing:
        raise TypeError(f"{kind} {name!r} needs {', '.join(missing)}")
    return factories[name](**kwargs)


def defaults(kind: str, factories: Mapping[str, Callable[..., Any]], name: str) -> dict[str, Any]:
    """The hyper-parameters that have a default other than None, with it.

    Raises:
      ValueError: the name is unknown; the message lists the known ones.
    """
    parameters = _parameters(kind, factories, name)
    return {k: p.default for k, p in parameters.items() if p.default not in (p.empty, None)}


def annotations(
    kind: str, factories: Mapping[str, Callable[..., Any]], name: str
) -> dict[str, Any]:
    """The annotated type of every hyper-parameter of one factory.

    Raises:
      ValueError: the name is unknown; the message lists the known ones.
    """
    return {k: p.annotation for k, p in _parameters(kind, factories, name).items()}


def names(kind: str, factories: Mapping[str, Callable[..., Any]], name: str) -> tuple[str, ...]:
    """The names of all hyper-parameters of one factory.

    Raises:
      ValueError: the name is unknown; the message lists the known ones.
    """
    return tuple(_parameters(kind, factories, name))


def _parameters(kind, factories, name):
    if name not in factories:
        known = ", ".join(sorted(factories))
        raise ValueError(f"unknown {kind} {name!r}{_hint(name, factories)}; known: {known}")
    return inspect.signature(factories[name]).parameters


def _hint(word: str, choices) -> str:
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
