"""What a suite is: the sets of a published protocol, with sources and image counts."""

from collections.abc import Sequence
from typing import NamedTuple

SPLITS = ("id_train", "id_val", "id_test", "ood_val")

Row = tuple[str, str, int | None]


class OodSet(NamedTuple):
    """One set: group ("near", "far", "shifted", ...), name (a key of the results), source string.

    count: how many images the protocol says it has, or None.
    """

    group: str
    name: str
    source: str
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count


class Expected(NamedTuple):
    """A source string and how many images it must have, None if unknown; "" for no set."""

    source: str = ""
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count


class Suite(NamedTuple):
    """A protocol: its OOD sets (and shifted ones) and, where it fixes them, the ID and search sets.

    A string of the user's has name "" and only `sets`. `class_names` says where the names of the ID
    classes are, as the config field of that name does; "" leaves that to the config.
    """

    name: str
    sets: tuple[OodSet, ...]
    id_train: Expected = Expected()
    id_val: Expected = Expected()
    id_test: Expected = Expected()
    ood_val: Expected = Expected()
    class_names: str = ""

    @property
    def splits(self) -> tuple[OodSet, ...]:
        """The fixed ones of id_train, id_val, id_test, ood_val, as sets of group ""."""
        fixed = [(name, getattr(self, name)) for name in SPLITS]
        return tuple(OodSet("", name, x.source, x.count) for name, x in fixed if x.source)


def make(name: str, rows: Sequence[Row], class_names: str = "") -> Suite:
    """A suite of rows; `{root}` and `{lists}` in their sources are filled in by `suites.resolve`.

    Args:
      name: name of the suite.
      rows: rows (field of `Suite` or group/name, source, count).
      class_names: where the names of the ID classes are, see `Suite`.
    """
    expected = {label: Expected(source, count) for label, source, count in rows}
    splits = {label: expected.pop(label) for label in SPLITS if label in expected}
    named = ((*label.partition("/"), row) for label, row in expected.items())
    sets = tuple(OodSet(group, x, row.source, row.count) for group, _, x, row in named)
    return Suite(name, sets, **splits, class_names=class_names)
