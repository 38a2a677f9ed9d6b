"""Which sets an evaluation uses: a comma-separated string of OOD sets, or the name of a suite.

A suite states a published protocol: sets, groups, exact sources and image counts; `protocols` has
them. Its sources lie below `data_root()`; `python -m adapt_jax.data download SUITE` fetches them.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded
from adapt_jax.data import class_lists, sources
from adapt_jax.data.download.catalogue import data_root
from adapt_jax.data.protocols import SPLITS, SUITES, Expected, OodSet, Suite

__all__ = [
    "SPLITS",
    "SUITES",
    "Expected",
    "OodSet",
    "Suite",
    "check_count",
    "names_sha256",
    "parse_ood",
    "resolve",
]

DEFAULT_GROUP = "ood"
RESERVED = ("mean", "id", "train", "val", "ood_val")  # the row of group means, and sets beside
EXAMPLE = "near/cifar100=npz:c100.npz,far/signs=folder:gtsrb"
SKIP = "unreadable=skip"
AS_STORED = "exif=ignore"  # as the official programs read images


def resolve(text: str) -> Suite:
    """The suite of that name, or an unnamed one with the sets of a string as `parse_ood` reads it.

    A suite's name may end in "?unreadable=skip", which then holds for all of its sources.

    Raises:
      InputError: neither; the message lists the known suites.
    """
    text = text.strip()
    name, _, option = text.partition("?")
    if name in SUITES:
        suite, root = SUITES[name], str(data_root())
        if text != name and option != SKIP:
            raise InputError(f"suite {name} has the option ?{SKIP} and no other, got {text!r}")

        def placed(one):
            source = one.source.replace("{root}", root)
            as_stored = "" if source.startswith("mat:") else AS_STORED
            for added in filter(None, (as_stored, option) if source else ()):
                source += f"{'&' if '?' in source else '?'}{added}"
            return one._replace(source=source)

        splits = {name: placed(getattr(suite, name)) for name in SPLITS}
        names = suite.class_names.replace("{root}", root).replace("{lists}", class_lists.folder())
        return suite._replace(sets=tuple(map(placed, suite.sets)), class_names=names, **splits)
    if "=" not in text.partition("?")[0]:
        raise InputError(
            f"unknown OOD suite {text!r}; known: {', '.join(sorted(SUITES))}; "
            f"or list the sets as {EXAMPLE}"
        )
    return Suite("", parse_ood(text))


def parse_ood(text: str) -> tuple[OodSet, ...]:
    """`group/name=source,group/name=source,...`; without `group/` the group is "ood".

    Sets of the group "shifted" are covariate-shifted ID images. Only the syntax is checked, that of
    the sources included.

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
                "(names of letters, digits and _.-, no comma in a source)"
            )
        group, name = match[1] or DEFAULT_GROUP, match[2]
        if taken := {name, group} & set(RESERVED):
            raise InputError(
                f"an OOD set or a group cannot be called {min(taken)!r}, results use that word"
            )
        if name in (other.name for other in sets):
            raise InputError(f"two OOD sets are called {name!r}; give each its own name")
        sets.append(OodSet(group, name, sources.parse(source).text))
    return tuple(sets)


def check_count(ood_set: OodSet, count: int, suite: str = "") -> None:
    """Raises InputError unless the set has as many images as the protocol says, if it says."""
    if ood_set.count is None or count == ood_set.count:
        return
    where, again = (f"suite {suite}: ", f" {suite}") if suite else ("", "")
    raise InputError(
        f"{where}set {ood_set.name} has {count:,} images, the protocol has {ood_set.count:,}; "
        f"find what is missing with `python -m adapt_jax.data verify{again}`, or name the sets you "
        f"do have as {EXAMPLE}"
    )


def names_sha256(entries: Mapping[str, Sequence[str]]) -> str:
    """sha256 (hex) over the image names of each set in order; equal exactly if those are.

    entries: set name -> `Dataset.names`; the order of the sets does not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(entries):
        for text in (name, str(len(entries[name])), *entries[name]):
            data = encoded(text)
            digest.update(b"%d:%s" % (len(data), data))  # lengths: "ab", "c" is not "a", "bc"
    return digest.hexdigest()
