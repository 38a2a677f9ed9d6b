"""Names of the image sets of an evaluation, beside those of its OOD sets."""

from collections.abc import Mapping

ID, VAL, OOD_VAL = "id", "val", "ood_val"
SHIFTED = "shifted"  # group of covariate-shifted ID sets: ID images in a full-spectrum evaluation


def id_side(groups: Mapping[str, str]) -> list[str]:
    """The sets that count as in-distribution: the ID test set, and those of group "shifted".

    Args:
      groups: group of every other set, by name.
    """
    return [ID, *(name for name, group in groups.items() if group == SHIFTED)]


def ood_side(groups: Mapping[str, str]) -> list[str]:
    """The OOD sets among `groups`, the group of every set by its name."""
    return [name for name, group in groups.items() if group != SHIFTED]
