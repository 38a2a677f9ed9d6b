"""Matches the labels of every set with the ID classes, by one rule, which the results record.

    the set has        the ID classes have    classes are matched
    numbers            numbers or names       by number: its numbers are theirs, from 0 where they
                                              have names
    names              names                  by name ("_" is a space, case does not matter)
    names              numbers                in order, if there are as many and the ID classes are
                                              0, 1, 2, ...

A list of names that belongs to CLIP's prompts says things in other words, and is matched in order
where the set has as many classes and no name of one contradicts the other. A class of the ID
classes may have no image. A class that is none of theirs, or that could be two of them, is refused.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapt_jax.core.errors import InputError

# What the folders are called when they are the splits of a set, and not its classes.
SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval")
_SHOWN = 3  # classes that a message names


class Classes(NamedTuple):
    """The ID classes.

    names: of each class. numbers: its number in a set whose classes are numbers.
    owner: who says so, for messages: "train_data", "the logits".
    aliases: tuples of other names of all classes.
    worded: whether `names` are words for prompts, which sets need not use.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    owner: str
    aliases: tuple[tuple[str, ...], ...] = ()
    worded: bool = False


class Matched(NamedTuple):
    """Labels (N,) int32 as positions of the ID classes, None if there are none; and the rule.

    aliases: what the set calls the ID classes, where they are matched in order; else ().
    """

    labels: np.ndarray | None
    rule: str
    aliases: tuple[str, ...] = ()


def named(
    names: Sequence[str], owner: str, picked: Sequence[int] | None = None, *, worded: bool = False
) -> Classes:
    """ID classes of these names.

    Args:
      names: names, one per class; whole numbers are the numbers of the classes.
      owner: source of the names, for messages.
      picked: number of each class in its source, where `?classes=` selects some.
      worded: whether the names are words for prompts, see `Classes`.
    """
    numbers = numbers_of(names)
    if numbers is None or worded:
        numbers = tuple(range(len(names)) if picked is None else picked)
    return Classes(tuple(names), numbers, owner, worded=worded)


def numbered(count: int, owner: str) -> Classes:
    """ID classes 0, 1, ..., count - 1 without names; `owner` is who says so, for messages."""
    return named(tuple(map(str, range(count))), owner)


def numbers_of(names: Sequence[str]) -> tuple[int, ...] | None:
    """The numbers that names are if all of them are whole numbers ("00012"), else None."""
    if not names or not all(re.fullmatch("[0-9]+", name) for name in names):
        return None
    return tuple(map(int, names))


def in_order(names: Sequence[str]) -> list[str]:
    """Names sorted as text, or by number where they differ in one number only (2, 10; c2, c10)."""
    parts = [re.fullmatch(r"(\D*)([0-9]+)(\D*)", name) for name in names]
    if all(parts) and len({(part[1], part[3]) for part in parts}) == 1:
        return sorted(names, key=lambda name: (int(re.sub(r"\D", "", name)), name))
    return sorted(names)


def match(
    source: str,
    labels: np.ndarray | None,
    names: Sequence[str],
    classes: Classes | None,
    flaw: str = "",
) -> Matched:
    """A set's labels as positions of the ID classes.

    Args:
      source: source of the set, for messages.
      labels: integers (N,) that index `names`; None if the set has none.
      names: names of the set's classes, with images or without.
      classes: the ID classes; None where ID images have no labels either.
      flaw: reason why the set's labels cannot be used, as the end of a sentence about it.

    Raises:
      InputError: the labels cannot be used, or a class with images is none of the ID classes, or
        could be several of them.
    """
    if flaw:
        raise InputError(f"{source} {flaw}")
    if labels is None or classes is None:
        return Matched(None, "has no labels" if labels is None else "ID classes have no labels")
    present = np.unique(labels)
    how, place = _places(source, [names[i] for i in present], present, tuple(names), classes)
    position = np.array(place, np.int32)
    positions = position[np.searchsorted(present, labels)]
    aliases = tuple(names) if how.startswith("in order") else ()
    return Matched(positions, f"labels {how}, {_coverage(position, classes)}", aliases)


def match_numbers(source: str, numbers: np.ndarray | None, classes: Classes | None) -> Matched:
    """`match` for labels that are numbers of classes.

    Args:
      source, classes: source of the set and ID classes, as in `match`.
      numbers: class numbers (N,), or None.

    Raises:
      InputError: as `match`.
    """
    if numbers is None:
        return match(source, None, (), classes)
    present, labels = np.unique(numbers, return_inverse=True)
    return match(source, labels.ravel(), tuple(map(str, present)), classes)


def _places(
    source: str, own: list[str], present: np.ndarray, names: tuple[str, ...], classes: Classes
) -> tuple[str, Sequence[int] | np.ndarray]:
    """How the classes with images are found among the ID classes, and the position of each.

    Args:
      source, names, classes: arguments of `match`.
      own: names of the classes with images.
      present: positions of these classes in `names`.
    """
    count, theirs = len(classes.names), numbers_of(classes.names)
    if names == classes.names:
        return "by name" if theirs is None else "by number", present
    if numbers_of(names) is not None:
        position = {number: i for i, number in enumerate(classes.numbers)}
        _refuse_numbers(source, sorted({int(name) for name in own} - position.keys()), own, classes)
        words = "" if theirs is not None else f" ({_pairs(classes.numbers, classes.names)})"
        return f"by number{words}", [position[int(name)] for name in own]
    missing = own
    for class_names in (*classes.aliases, classes.names):
        places = _positions(class_names)
        unknown = [name for name in own if _plain(name) not in places]
        missing = min(missing, unknown, key=len)
        if not unknown:
            _refuse_twice(source, own, places, classes)
            return "by name", [places[_plain(name)][0] for name in own]
    ordered = classes.worded or theirs == tuple(range(count))
    if ordered and len(names) == count and not _contradiction(names, classes):
        return f"in order ({_pairs(names, classes.names)})", present
    raise InputError(
        f"{source} has {len(names)} classes, {classes.owner} has {count} names, and "
        f"{len(missing)} of its classes are none of them, such as {_shown(missing)}: give classes "
        "the same names, leave others out with ?classes=, or list images of unknown class with "
        "label -1"
    )


def _refuse_numbers(source: str, wrong: list[int], own: Sequence[str], classes: Classes) -> None:
    if not wrong:
        return
    numbers, have = sorted(classes.numbers), sorted(map(int, own))
    contiguous = numbers == list(range(numbers[0], numbers[-1] + 1))
    range_text = f"{numbers[0]} to {numbers[-1]}" if contiguous else _shown(numbers)
    remedy = "give classes the same numbers, or leave the images of others out"
    if have[0] == numbers[0] + 1 and have[-1] == numbers[-1] + 1:
        remedy = f"they seem to count from {have[0]}; number classes from {numbers[0]}"
    raise InputError(
        f"{source} has labels from {have[0]} to {have[-1]}, {classes.owner} has the classes "
        f"{range_text}, and no class {_shown(wrong)}: {remedy}"
    )


def _refuse_twice(source: str, own: Sequence[str], position, classes: Classes) -> None:
    if twice := [name for name in own if len(position[_plain(name)]) > 1]:
        raise InputError(
            f"{source}: {len(position[_plain(twice[0])])} classes of {classes.owner} are called "
            f"{twice[0]!r}; give every class a name of its own, or use a list with numbers"
        )


def _positions(names: Sequence[str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        positions.setdefault(_plain(name), []).append(i)
    return positions


def _contradiction(names: Sequence[str], classes: Classes) -> bool:
    """Whether a name stands at one place here and at another there."""
    position = _positions(classes.names)
    places = ((i, position.get(_plain(name), [i])) for i, name in enumerate(names))
    return any(i not in there for i, there in places)


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().casefold()


def _coverage(position: np.ndarray, classes: Classes) -> str:
    count = len(classes.names)
    absent = np.setdiff1d(np.arange(count), position)
    text = f"{count - len(absent)} of {count} classes"
    return (
        f"{text}, no image of {_shown([classes.names[i] for i in absent])}" if absent.size else text
    )


def _shown(values: Sequence) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(map(str, values[:_SHOWN])) + more


def _pairs(left: Sequence, right: Sequence[str]) -> str:
    ends = dict.fromkeys((0, len(right) - 1))
    return ", ".join(f"{left[i]} is {right[i]}" for i in ends)
