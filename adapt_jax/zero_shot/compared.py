"""Zero-shot runs that are compared: what they may differ in, how each is made, what they share."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.results import result_files
from adapt_jax.runtime import cli
from adapt_jax.zero_shot import feature_files, job, plan

# Sections in which compared configs may differ; the images and classes have to be the same.
OF_THE_METHOD = (
    *("clip", "prompts", "learned_prompts", "corpus", "negatives", "preprocess", "stream", "seed"),
)
_CACHES = ("text", "features")


class Features(NamedTuple):
    """Embeddings that were made elsewhere, for all runs.

    folder: folder of them, see `feature_files`. sha256: of all of them. ood: the sets, as a config
    says it.
    """

    folder: str
    sha256: str
    ood: str

    def finished(self, workdir: pathlib.Path, settings: Mapping[str, Any]) -> dict | None:
        """The results of a run on these embeddings; None where there are none."""
        results = result_files.finished(workdir, {**settings, "ood": self.ood})
        same = results is not None and results.get("from_features") is not None
        return results if same and results["checkpoint_sha256"] == self.sha256 else None


def are_zero_shot(configs: Iterable[Any]) -> bool:
    """Whether configs are zero-shot ones.

    Raises:
      InputError: some are and some are not.
    """
    kinds = {"clip" in config for config in configs}
    if len(kinds) > 1:
        raise InputError(
            "--configs mixes zero-shot configs with configs that are trained; compare either kind "
            "by itself"
        )
    return kinds.pop()


def features(configs: Collection[Any], folder: str) -> Features | None:
    """Reads a folder of embeddings that all configs are run on; None where it is "".

    Raises:
      InputError: configs that are trained, or as `feature_files.load`.
    """
    if not folder:
        return None
    if not are_zero_shot(configs):
        raise InputError("--from_features is for zero-shot configs; trained ones make their own")
    embeddings = feature_files.load(folder, full_spectrum=next(iter(configs)).full_spectrum)
    return Features(folder, embeddings.sha256(), embeddings.ood())


def may_differ(embeddings: Features | None) -> tuple[str, ...]:
    """The sections in which configs may differ, and those that embeddings leave without effect."""
    return OF_THE_METHOD if embeddings is None else (*OF_THE_METHOD, *plan.ELSEWHERE)


def check(configs: Iterable[Any], overrides: Sequence[str], embeddings: Features | None) -> None:
    """Raises InputError if a config is wrong, or changed where nothing depends on it."""
    for each in configs:
        settings = plan.scoring(each)
        if embeddings is None:
            plan.embedding(each)
        unused = plan.unused(each) if embeddings is None else plan.ELSEWHERE
        plan.refuse_unused(cli.overridden(overrides), unused, settings)


def run(
    chosen: Any, workdir: pathlib.Path, others: Iterable[pathlib.Path], embeddings: Features | None
) -> dict:
    """Makes a run, and returns what its results.json holds.

    Args:
      chosen: config of the run.
      workdir: folder of the run.
      others: folders of the other runs, whose embeddings of words and images are used.
      embeddings: embeddings that were made elsewhere, if they are wanted.
    """
    if embeddings is not None:
        return job.from_features(chosen, embeddings.folder, str(workdir))
    _share(workdir, others)
    return job.zero_shot(chosen, str(workdir))


def _share(folder: pathlib.Path, others: Iterable[pathlib.Path]) -> None:
    """Gives a run the embeddings that other runs have made, which are named by their content."""
    for cache in _CACHES:
        (folder / cache).mkdir(parents=True, exist_ok=True)
        for other in others:
            for file in sorted((other / cache).glob("*-*.npz")):
                _link(file, folder / cache / file.name)


def _link(file: pathlib.Path, target: pathlib.Path) -> None:
    """One file for both runs where the file system can do that, else a copy."""
    if target.exists():
        return
    with contextlib.suppress(OSError):  # without it the embeddings are made again
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)
