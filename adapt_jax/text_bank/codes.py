"""Codes beside class names: found in every line and left out, or refused; never part of a prompt.

A code is a WordNet id (n01440764) or the number of the class: 0, 1, 2, ... or 1, 2, 3, ... in
order. It may stand in front of the name ("n01440764 tench", "0: tench", "001.Albatross"), or be a
column of a table with tabs, commas or semicolons, with a header or without. Names are changed only
if every one of them has such a code. Where nobody can tell which words are meant, that is an error.
"""

import csv
import re
from collections.abc import Sequence
from typing import NamedTuple

from adapt_jax.core.errors import InputError

WORDNET = re.compile(r"[nvars]\d{8}\b")
# A code in front, and what separates it; a digit behind a point or comma would make it one number.
_FRONT = re.compile(
    r"[\[(]?([nvars]\d{8}|\d+)(?:[\])]?\s*(?:[:;|)\]]|[.,](?!\d)|-(?!\d))\s*|\s+)(?=\S)"
)
_DELIMITERS = "\t,;"
_HEADERS = {"name", "names", "class", "classes", "label", "labels", "class name", "class names"}
_REMEDY = "give a file of names alone, or a JSON list of names, which is taken as it stands"


class Names(NamedTuple):
    """Names of classes, and a sentence about what was left out of them; "" if nothing was."""

    names: tuple[str, ...]
    note: str = ""


def without(lines: Sequence[str], *, ordered: bool = True, table: bool = False) -> Names:
    """The names in lines that may have codes beside them.

    Args:
      lines: lines, one per class, none empty.
      ordered: whether their order is that of the classes, so that numbers must follow it. Those of
        class folders need not: a folder's images come with its name.
      table: whether they are the lines of a CSV or TSV file.

    Raises:
      InputError: nobody can tell what is a code and what a name.
    """
    names = list(lines)
    for delimiter in _DELIMITERS:
        names = _name_column(names, delimiter, ordered, table or delimiter == "\t")
    while stripped := _front_removed(names, ordered):
        names = stripped
    if names == list(lines):
        _refuse_look_alikes(names)
        return Names(tuple(names))
    if len(set(names)) <= len(names) / 2:
        raise InputError(
            f"without what looks like a code in front, class names such as {lines[-1]!r} are the "
            f"same for most classes; {_REMEDY}"
        )
    header = "the header and " if len(names) < len(lines) else ""
    note = (
        f"class names: {header}the codes beside all {len(names)} names are left out, "
        f"{lines[-1]!r} is {names[-1]!r}"
    )
    return Names(tuple(names), note)


def _name_column(lines: list[str], delimiter: str, ordered: bool, certain: bool) -> list[str]:
    """The column of names of a table that has columns of codes; other lines as they are.

    Raises:
      InputError: not exactly one column is of names; `certain` says that it is a table at all.
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    widths = {len(row) for row in rows}
    if len(rows) != len(lines) or len(widths) != 1 or widths == {1}:
        return lines
    for body in (rows, rows[1:]):  # as it is, and below a header
        columns = list(zip(*body, strict=True))
        text = [column for column in columns if not _are_codes(column, ordered)]
        if len(text) == 1 < len(columns) and all(text[0]):
            return list(text[0])
        certain |= len(text) < len(columns)
    if not certain:
        return lines
    raise InputError(
        f"lines of class names such as {lines[-1][:80]!r} have {len(rows[0])} columns, and not "
        f"exactly one of them holds names beside codes; {_REMEDY}"
    )


def _front_removed(names: list[str], ordered: bool) -> list[str] | None:
    """The names without the code in front of each; None if one has none or they count nothing."""
    matches = [_FRONT.match(name) for name in names]
    if not all(matches) or not _are_codes([m[1] for m in matches], ordered):
        return None
    return [name[m.end() :] for name, m in zip(names, matches, strict=True)]


def _are_codes(column: Sequence[str], ordered: bool) -> bool:
    if all(WORDNET.fullmatch(cell) for cell in column):
        return len(column) > 0
    if len(column) < 2 or not all(re.fullmatch(r"\d{1,9}", cell) for cell in column):
        return False
    numbers = [int(cell) for cell in column]
    if not ordered:
        numbers.sort()
        padded = len(column[0]) > 1 and len(set(map(len, column))) == 1
        if padded and column[0][0] == "0" and len(set(numbers)) == len(numbers):
            return True  # some of the classes of a numbered set
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _refuse_look_alikes(names: list[str]) -> None:
    """Raises InputError if names hold what may be codes, but in no order or not everywhere."""
    if names[0].lower() in _HEADERS:
        raise InputError(f"the first class name is {names[0]!r}, a header; remove that line")
    split = [re.split(r"[\s:;,]+", name) for name in names]
    fronts = {words[0] for words in split if len(words) > 1 and re.search(r"\d", words[0])}
    ends = [words[-1] for words in split if len(words) > 1]
    counted = len(fronts) == len(names) or (len(ends) == len(names) and _are_codes(ends, True))
    if (counted and len(names) > 2) or any(WORDNET.search(name) for name in names):
        raise InputError(
            f"class names such as {names[-1]!r} may hold a code, but not all begin with a WordNet "
            f"id, or with the numbers 0, 1, 2, ... or 1, 2, 3, ... in order; {_REMEDY}"
        )
