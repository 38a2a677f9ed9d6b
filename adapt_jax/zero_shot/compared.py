"""Zero-shot runs as `python -m adapt_jax.compare` needs them: checked and started."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Collection, Iterable

from adapt_jax.zero_shot import job, plan

# Sections in which compared configs may differ; the images and classes have to be the same.
OF_THE_METHOD = ("clip", "prompts", "corpus", "negatives", "preprocess", "stream", "seed")
_CACHES = ("text", "features")


def check(config, given: Collection[str]) -> None:
    """Finds what would stop a run or have no effect in it, without opening an image.

    Args:
      config: config of the run.
      given: fields that were set by hand, for all configs.

    Raises:
      InputError: a mistake in the config, or words or images that are not there.
    """
    settings = plan.scoring(config)
    plan.embedding(config)
    plan.refuse_unused(given, plan.unused(config), settings)


def run(config, folder: pathlib.Path, others: Iterable[pathlib.Path]) -> dict:
    """Runs a config, with the embeddings that other runs have made of the same content.

    Args:
      config: config of the run.
      folder: folder of the run.
      others: folders of other runs, which may not exist.

    Returns:
      What results.json holds. Raises as `job.zero_shot`.
    """
    for cache in _CACHES:
        (folder / cache).mkdir(parents=True, exist_ok=True)
        for other in others:
            for file in sorted((other / cache).glob("*-*.npz")):  # named by their content
                _share(file, folder / cache / file.name)
    return job.zero_shot(config, str(folder))


def _share(file: pathlib.Path, target: pathlib.Path) -> None:
    """One file for both runs where the file system can do that, else a copy."""
    if target.exists():
        return
    with contextlib.suppress(OSError):  # without it the embeddings are made again
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)
