"""The label nearest to each image, as CLIP classifies, whatever a detector thinks of the image."""

import pathlib
from collections.abc import Mapping

import numpy as np

from adapt_jax.core.files import write_atomically
from adapt_jax.core.sheets import csv_text
from adapt_jax.inference.zero_shot_files import Text
from adapt_jax.zero_shot.image_features import ImageSet
from adapt_jax.zero_shot.scoring import Task


def accuracy(
    task: Task, predicted: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Share of the ID images whose nearest label is theirs; {} where labels are not known.

    Args:
      task: the sets.
      predicted: classes and cosines by set, from `scoring.classify`.
    """
    labels = [task.sets[name].labels for name in task.own]
    if any(label is None for label in labels):
        return {}
    nearest = np.concatenate([predicted[name][0] for name in task.own])
    return {"id_accuracy": float(np.mean(nearest == np.concatenate(labels)))}


def write(
    path: pathlib.Path, image_set: ImageSet, text: Text, classes: np.ndarray, cosines: np.ndarray
) -> None:
    """Writes a table of images, classes, their names and cosines.

    Args:
      path: the file.
      image_set: the images (N).
      text: the bank, with the names of the classes.
      classes, cosines: classes and cosines (N,) from `scoring.classify`.
    """
    columns = ("image", "class", "class_name", "cosine")
    rows = (
        (name, c, text.class_names[c], round(float(cosine), 6))
        for name, c, cosine in zip(image_set.names, classes, cosines)
    )
    lines = csv_text((dict(zip(columns, row)) for row in rows), columns)
    write_atomically(path, lines)
