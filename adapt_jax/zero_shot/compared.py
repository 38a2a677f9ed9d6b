"""What zero-shot runs that are compared may differ in, and what they share."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterable

# Sections in which compared configs may differ; the images and classes have to be the same.
OF_THE_METHOD = (
    *("clip", "prompts", "learned_prompts", "corpus", "negatives", "preprocess", "stream", "seed"),
)
_CACHES = ("text", "features")


def share(folder: pathlib.Path, others: Iterable[pathlib.Path]) -> None:
    """Gives a run the embeddings that other runs have made, which are named by their content.

    Args:
      folder: folder of the run.
      others: folders of other runs, which may not exist.
    """
    for cache in _CACHES:
        (folder / cache).mkdir(parents=True, exist_ok=True)
        for other in others:
            for file in sorted((other / cache).glob("*-*.npz")):
                _share(file, folder / cache / file.name)


def _share(file: pathlib.Path, target: pathlib.Path) -> None:
    """One file for both runs where the file system can do that, else a copy."""
    if target.exists():
        return
    with contextlib.suppress(OSError):  # without it the embeddings are made again
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)
