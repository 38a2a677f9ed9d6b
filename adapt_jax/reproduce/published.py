"""The published results of published.toml, read and checked."""

import functools
import importlib.resources
import re
import tomllib
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.data import suites
from adapt_jax.data.set_names import SHIFTED
from adapt_jax.data.suites import OodSet

COLUMNS = ("fpr95", "auroc")
OWN = "config"  # the `id_suite` of results whose config names its own ID sets
_CELL = re.compile(r"(\d+\.?\d*)(?:±(\d+\.?\d*))?")
_LINE = ("label", "detector")


class Figure(NamedTuple):
    """A published figure and its population deviation over runs, None where none is printed.

    Both in percent.
    """

    mean: float
    spread: float | None = None


class Line(NamedTuple):
    """A row of a published table.

    label: what the table calls it.
    detector: our name of its score.
    cells: place -> column ("fpr95" or "auroc") -> figure. A place is an OOD set, or the mean of a
      group: "near mean", or "mean" in a suite with one group.
    """

    label: str
    detector: str
    cells: Mapping[str, Mapping[str, Figure]] = types.MappingProxyType({})


class Result(NamedTuple):
    """One entry of published.toml, where the fields are explained."""

    name: str
    title: str
    config: str
    suite: str
    seeds: int
    runs: int
    fpr: str
    source: str
    needs: str
    lines: tuple[Line, ...]
    set: str = ""
    id_suite: str = ""
    folder: str = ""
    tolerance: float = 0.0
    floor: bool = False
    note: str = ""

    def column(self, name: str) -> str:
        """The column of results.json that a published column is compared with."""
        return self.fpr if name == "fpr95" else name

    def detectors(self) -> str:
        """The detectors of all lines, as a config takes them."""
        return ",".join(dict.fromkeys(line.detector for line in self.lines))

    def ood_sets(self) -> tuple[OodSet, ...]:
        """The OOD sets that its cells are about, all of the suite's where it has no cells."""
        places = {place for line in self.lines for place in line.cells}
        sets = [s for s in suites.resolve(self.suite).sets if s.group != SHIFTED]
        chosen = [s for s in sets if s.name in places or group_mean(s.group) in places]
        return tuple(chosen or sets)


def group_mean(group: str) -> str:
    """The place of a group's mean."""
    return "mean" if group == suites.DEFAULT_GROUP else f"{group} mean"


@functools.cache
def results() -> Mapping[str, Result]:
    """Every published result by name."""
    file = importlib.resources.files(__package__) / "published.toml"
    entries = tomllib.loads(file.read_text(encoding="utf-8"))["result"]
    return types.MappingProxyType({entry["name"]: _result(entry) for entry in entries})


def find(name: str) -> Result:
    """The result of that name.

    Raises:
      InputError: there is none; the message lists the names.
    """
    if name not in results():
        raise InputError(f"unknown published result {name!r}; known: {', '.join(results())}")
    return results()[name]


def _result(entry: dict[str, Any]) -> Result:
    lines = tuple(_line(line) for line in entry.pop("line"))
    return Result(**entry, lines=lines)


def _line(entry: dict[str, str]) -> Line:
    cells = {place: _cells(text) for place, text in entry.items() if place not in _LINE}
    return Line(entry["label"], entry["detector"], cells)


def _cells(text: str) -> Mapping[str, Figure]:
    """ "30.74±0.79 / 91.86±0.16", "-" where a figure is missing."""
    figures = {}
    for column, part in zip(COLUMNS, text.split(" / "), strict=True):
        if part != "-":
            match = _CELL.fullmatch(part)
            if match is None:
                raise ValueError(f"published.toml: {text!r} is no cell")
            figures[column] = Figure(float(match[1]), float(match[2]) if match[2] else None)
    return figures
