"""The result of an evaluation, in the form that the writers of files and pages take."""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from adapt_jax.data.set_names import ID
from adapt_jax.results.scored import Scored

Images = Sequence[np.ndarray] | np.ndarray | Callable[[int], np.ndarray]


class ImageSet(Protocol):
    """The images, labels and names of a set, one of each per score."""

    @property
    def images(self) -> Images | None:
        """uint8 images, or a function from an index to an image; None where there are none."""

    @property
    def labels(self) -> np.ndarray | None:
        """(N,) integers."""

    @property
    def names(self) -> Sequence[str]:
        """File names or the like."""


class Evaluation(NamedTuple):
    """An evaluation: its subject, its settings and its results.

    title: what was evaluated, as a headline.
    facts: what the head of results.json says of it: `id`, `method`, `model`, `checkpoint_sha256`,
      and whatever else belongs there.
    config: the experiment's config as a dict, with `ood`, `seed`, `full_spectrum` and `report`.
    scored: what became of the detectors.
    groups: the group of every set beside the ID test set.
    sets: every set that was scored, the ID test set under "id".
    vectors: set name -> (N, D), what the picture of the report shows.
    class_names: the name of every label.
    prototypes: (K, C, D) shown with the vectors, None where there are none.
    images_of: key of the scores -> the set whose images were scored, where that is not the set of
      that name: the ID images in the stream of an OOD set have scores of their own.
    """

    title: str
    facts: Mapping[str, Any]
    config: Mapping[str, Any]
    scored: Scored
    groups: Mapping[str, str]
    sets: Mapping[str, ImageSet]
    vectors: Mapping[str, np.ndarray]
    class_names: Sequence[str] = ()
    prototypes: np.ndarray | None = None
    images_of: Mapping[str, str] = types.MappingProxyType({})


class Embeddings(NamedTuple):
    """Vectors of the ID test set and OOD sets in one space, for a picture of them.

    vectors: set name -> (N, D), the ID test set under "id".
    groups: the group of every other set.
    labels: (N,) integers of the ID images, None where they are not known.
    class_names: the name of every label; () for numbers.
    prototypes: (K, C, D), None where there are none.
    """

    vectors: Mapping[str, np.ndarray]
    groups: Mapping[str, str]
    labels: np.ndarray | None = None
    class_names: Sequence[str] = ()
    prototypes: np.ndarray | None = None


def pictured(arrays: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The vectors of a network's outputs: its embeddings, or features where it makes none.

    Args:
      arrays: the outputs by set, the ID test set under "id".
    """
    key = "embeddings" if "embeddings" in arrays[ID] else "features"
    return {name: output_arrays[key] for name, output_arrays in arrays.items()}


def prototype_rows(prototypes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prototypes (K, C, D) as rows (K * C, D), and the class of each row."""
    rows = prototypes.reshape(-1, prototypes.shape[-1])
    return rows, np.arange(len(rows)) % prototypes.shape[-2]
