"""Which OOD sets an evaluation uses: a comma-separated string, or the name of a suite."""

import re
from typing import NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.data import sources

DEFAULT_GROUP = "ood"
RESERVED = ("mean", "id", "train")  # the row of group means, and the ID sets themselves
EXAMPLE = "near/cifar100=npz:c100.npz,far/signs=folder:gtsrb"

# A suite is the string a user could have written. These are what TensorFlow Datasets offers today;
# they are no published protocol.
SUITES = {
    "tfds_cifar10": (
        "near/cifar100=tfds:cifar100:test,"
        "far/svhn=tfds:svhn_cropped:test,"
        "far/textures=tfds:dtd:train+validation+test,"
        "far/mnist=tfds:mnist:test"
    ),
    "tfds_cifar100": (
        "near/cifar10=tfds:cifar10:test,"
        "far/svhn=tfds:svhn_cropped:test,"
        "far/textures=tfds:dtd:train+validation+test,"
        "far/mnist=tfds:mnist:test"
    ),
}


class OodSet(NamedTuple):
    """One OOD set: group ("near", "far", ...), name (a key of the results), source string."""

    group: str
    name: str
    source: str


def resolve(text: str) -> tuple[OodSet, ...]:
    """The OOD sets of a suite's name, or of a string as `parse_ood` reads it.

    Raises:
      InputError: neither; the message lists the known suites.
    """
    text = text.strip()
    if text in SUITES:
        return parse_ood(SUITES[text])
    if "=" not in text.partition("?")[0]:
        raise InputError(
            f"unknown OOD suite {text!r}; known: {', '.join(sorted(SUITES))}; "
            f"or list the sets as {EXAMPLE}."
        )
    return parse_ood(text)


def parse_ood(text: str) -> tuple[OodSet, ...]:
    """`group/name=source,group/name=source,...`; without `group/` the group is "ood".

    Only the syntax is checked, that of the sources included.

    Raises:
      InputError: no set, a malformed or repeated one, or a reserved name.
    """
    sets: list[OodSet] = []
    for part in text.split(","):
        label, equals, source = part.strip().partition("=")
        match = re.fullmatch(r"(?:([A-Za-z0-9_.-]+)/)?([A-Za-z0-9_.-]+)", label.strip())
        if not equals or not source or not match:
            raise InputError(
                f"bad OOD set {part.strip()!r}; expected group/name=source as in {EXAMPLE} "
                "(names of letters, digits and _.-, no comma in a source)."
            )
        group, name = match[1] or DEFAULT_GROUP, match[2]
        if name in RESERVED:
            raise InputError(f"an OOD set cannot be called {name!r}, results use that word.")
        if name in (known.name for known in sets):
            raise InputError(f"two OOD sets are called {name!r}; give each its own name.")
        sets.append(OodSet(group, name, sources.parse(source).text))
    return tuple(sets)
