"""One class of a set as ID, all others as OOD: the sources of each such split."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.data import decode, sources
from adapt_jax.data.classes import numbers_of

GROUP, OTHERS = "one_class", "other_classes"


class Split(NamedTuple):
    """One choice of the ID class.

    label: its number, or numbers joined by "+", as in a source. name: its name.
    train_data, test_data, ood: fields of a config.
    """

    label: str
    name: str
    train_data: str
    test_data: str
    ood: str

    def fields(self) -> dict[str, str]:
        """The fields of a config for this choice; CCL and SimCLR need nothing else."""
        own = {"train_data": self.train_data, "test_data": self.test_data, "ood": self.ood}
        return {**own, "val_data": "", "ood_val_data": ""}


def make(
    train_data: str, test_data: str, image_size: int, classes: Sequence[str] = ()
) -> list[Split]:
    """The splits of a training and a test set, whose classes are the same.

    Args:
      train_data: source string of the training images.
      test_data: source string of the test images.
      image_size: height and width of the images.
      classes: classes that are ID in turn: "3", or "3+5" for several as one; () for all.

    Raises:
      InputError: a source that selects classes already, has fewer than two, or lacks one.
    """
    for source in (train_data, test_data):
        parsed = sources.parse(source)
        if parsed.classes is not None or parsed.only is not None:
            raise InputError(f"{source} selects classes already; leave that to --one_class")
    opened = sources.lazy_set(test_data, image_size, decode.fit, labeled=True)
    names = opened.class_names
    if len(names) < 2:
        raise InputError(f"{test_data} has one class; one-class detection needs others")
    name_of = dict(zip(numbers_of(names) or range(len(names)), names))
    splits = []
    for text in classes or map(str, name_of):
        if not re.fullmatch(r"\d+(\+\d+)*", text):
            raise InputError(f"--one_class takes all, or classes such as 0,1,3+5; got {text!r}")
        own = sorted({int(c) for c in text.split("+")})
        if not set(own) < set(name_of):
            raise InputError(
                f"--one_class={text}: {test_data} has the classes {min(name_of)} to "
                f"{max(name_of)}, of which some have to be others"
            )
        rest = [c for c in name_of if c not in own]
        ood = f"{GROUP}/{OTHERS}={_of(test_data, rest)}"
        name = " + ".join(name_of[c] for c in own)
        chosen = (_of(train_data, own), _of(test_data, own), ood)
        splits.append(Split("+".join(map(str, own)), name, *chosen))
    return splits


def _of(source: str, classes: Sequence[int]) -> str:
    return f"{source}{'&' if '?' in source else '?'}classes={'+'.join(map(str, classes))}"
