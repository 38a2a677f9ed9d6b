"""Job: several configs, several seeds each, trained, evaluated and put side by side in one table.

    python -m adapt_jax.compare --configs=configs/digits_adapt.py,configs/digits_palm.py \\
        --seeds=0,1,2 --workdir=runs/compare [--set=epochs=5,model.width=8 ...]

Every run has its folder, WORKDIR/<config>/seed<n>, as `adapt_jax.train` makes it, or
`adapt_jax.zero_shot` of zero-shot configs (on embeddings made elsewhere with --from_features=DIR).
The same command goes on where it was stopped: finished runs are skipped, a stopped one resumes.
Writes compare.md, .csv, .json, .png and .svg. With --one_class=all every class of train_data is ID
in turn, all others are OOD, and one table has the mean over the classes.
"""

import copy
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags

from adapt_jax import train
from adapt_jax.config import default_config, effects
from adapt_jax.config import unused as config_unused
from adapt_jax.config.effects import Effect
from adapt_jax.core.callable_module import make_callable
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import build, checks, one_class_splits, pretrained, unused
from adapt_jax.report import comparison
from adapt_jax.report import one_class as one_class_page
from adapt_jax.results import result_files
from adapt_jax.runtime import cli, config_files, processes, terminal
from adapt_jax.workdir import checkpoints, folders, trackers
from adapt_jax.zero_shot import compared as zero_shot_runs
from adapt_jax.zero_shot import plan
from adapt_jax.zero_shot.compared import Features

make_callable(__name__, "adapt_jax.compare:compare")

# Sections that belong to a method; everything else that decides a result has to be the same.
_OF_THE_METHOD = ("method", "optimizer", "seed")


class Run(NamedTuple):
    """One training: `label` names its config in tables, `config` has its seed."""

    label: str
    seed: int
    config: Any
    workdir: pathlib.Path


def compare(
    configs: Sequence[str],
    seeds: Sequence[int],
    workdir: str,
    *,
    overrides: Sequence[str] = (),
    allow_different: bool = False,
    from_features: str = "",
) -> dict:
    """Trains and evaluates every config with every seed and writes the comparison.

    Args:
      configs: config files; their names without .py must differ.
      seeds: seeds of the runs.
      workdir: folder of all runs and of the comparison.
      overrides: changes "key=value,..." of all configs, see `cli.override`.
      allow_different: whether to accept configs whose results differ by more than method and
        optimiser, or zero-shot configs by more than CLIP, words, detectors and stream.
      from_features: folder of embeddings, see `zero_shot.feature_files`, that all zero-shot configs
        are run on; "" for none.

    Returns:
      What compare.json holds.

    Raises:
      InputError: anything wrong with any config, seed, image set or folder, before any training.
      TrainingFailed: a run lost its loss; the finished ones are kept.
    """
    console = terminal.console()
    config_by_name = _load(configs, overrides)
    seeds = cli.seeds(seeds)
    features = zero_shot_runs.features(config_by_name.values(), from_features)
    but = ("method", "seed", *(plan.ELSEWHERE if features else ()))
    differing = effects.between(config_by_name, Effect.NOTHING, but=but)
    _check(config_by_name, overrides, allow_different, features)
    path = folders.prepare(workdir)
    runs = _runs(path, config_by_name, seeds)
    finished = result_files.finished if features is None else features.finished
    results = [finished(run.workdir, run.config.to_dict()) for run in runs]
    _check_unfinished([run for run, result in zip(runs, results) if result is None])

    if differing:
        console.print(
            f"note: the configs differ in {effects.described(differing)}", highlight=False
        )
    _make(runs, results, console, features)

    by_label: dict[str, list[dict]] = {}
    run_folders: dict[str, list[pathlib.Path]] = {}
    for run, result in zip(runs, results):
        by_label.setdefault(run.label, []).append(result)
        run_folders.setdefault(run.label, []).append(run.workdir)
    content = comparison.content(
        by_label,
        files=dict(zip(by_label, configs)),
        folders=run_folders,
        differences=differing,
        overrides=overrides,
    )
    if processes.is_main():
        comparison.write(path, content)
        console.print(comparison.table(content))
        for sentence in content["ties"]:
            console.print(sentence, highlight=False, markup=False)
        console.print(f"comparison: {path / 'compare.md'}, .csv, .json, .png, .svg")
    return content


def one_class(
    configs: Sequence[str],
    classes: Sequence[str],
    seeds: Sequence[int],
    workdir: str,
    *,
    overrides: Sequence[str] = (),
    allow_different: bool = False,
) -> dict:
    """Takes one class after the other as ID, all others as OOD, and averages over the classes.

    Runs are WORKDIR/<config>/class<c>/seed<n>. Writes one_class.md, one_class.csv and
    one_class.json.

    Args:
      configs: config files of methods that need no labels, as in `compare`.
      classes: classes that are ID in turn: "3", or "3+5" for several as one; () for all.
      seeds, workdir, overrides, allow_different: arguments of `compare`.

    Returns:
      What one_class.json holds.

    Raises:
      InputError: as `compare`; a method that learns from labels; classes that are not there.
      TrainingFailed: a run lost its loss; the finished ones are kept.
    """
    console = terminal.console()
    config_by_name = _load(configs, overrides)
    seeds = cli.seeds(seeds)
    if zero_shot_runs.are_zero_shot(config_by_name.values()):
        raise InputError("--one_class trains a network per class; give configs that are trained")
    for stem, config in config_by_name.items():
        if build.make_method(config, num_classes=2, num_images=None).label_kind == "labels":
            raise InputError(
                f"{stem} learns from labels, and one class has none to tell apart; take a method "
                "without, such as ccl, or supcon with method.params.use_labels=False"
            )
    first = next(iter(config_by_name.values()))
    splits = one_class_splits.make(first.train_data, first.test_data, first.image_size, classes)
    path, runs, by_class = folders.prepare(workdir), [], []
    for split in splits:
        chosen = copy.deepcopy(config_by_name)
        for config in chosen.values():
            config.update(split.fields())
        _check(chosen, overrides, allow_different)
        for run in _runs(path, chosen, seeds):
            folder = path / run.workdir.parent.name / f"class{split.label}" / run.workdir.name
            runs.append(run._replace(workdir=folder))
            by_class.append(split.name)
    results = [result_files.finished(run.workdir, run.config.to_dict()) for run in runs]
    _check_unfinished([run for run, result in zip(runs, results) if result is None])
    _make(runs, results, console)
    per_run = [(run.label, name, result) for run, name, result in zip(runs, by_class, results)]
    content = one_class_page.content(per_run, dict(zip(config_by_name, configs)), overrides)
    if processes.is_main():
        one_class_page.write(path, content)
        console.print(one_class_page.table(content))
        console.print(f"one class each: {path / 'one_class.md'}, .csv, .json")
    return content


def _check(
    config_by_name: dict[str, Any],
    overrides: Sequence[str],
    allow_different: bool,
    features: Features | None = None,
) -> None:
    """Raises InputError if a config is wrong, or if they do not share one recipe."""
    zero_shot = zero_shot_runs.are_zero_shot(config_by_name.values())
    method = zero_shot_runs.may_differ(features) if zero_shot else _OF_THE_METHOD
    recipe = effects.between(config_by_name, Effect.RESULT, but=method)
    if recipe and not allow_different:
        raise InputError(
            f"the configs do not share one recipe: {effects.described(recipe)}; align them, for "
            "example with --set=key=value, or give --allow_different"
        )
    if zero_shot:
        zero_shot_runs.check(config_by_name.values(), overrides, features)
        return
    for config in config_by_name.values():
        checks.check_config(config)
        trackers.check(config.tracking)
        pretrained.check(config)
        if not config.ood.strip():
            raise InputError("a comparison needs OOD sets; give some with --set=ood=...")
    in_vain = [unused.reasons(config) for config in config_by_name.values()]
    everywhere = {k: why for k, why in in_vain[0].items() if all(k in r for r in in_vain)}
    first = next(iter(config_by_name.values()))
    defaults = default_config(first.method.name).to_dict()
    config_unused.refuse(cli.overridden(overrides), everywhere, first.to_dict(), defaults)


def _make(
    runs: Sequence[Run], results: list[dict | None], console, features: Features | None = None
) -> None:
    """Trains the runs that have no results yet, and puts theirs among the others."""
    for i, run in enumerate(runs):
        line = f"run {i + 1} of {len(runs)}: {run.label} seed {run.seed}"
        if results[i] is None:
            console.print(f"{line} in {run.workdir}", highlight=False)
            if "clip" in run.config:
                others = [r.workdir for r in runs if r is not run]
                results[i] = zero_shot_runs.run(run.config, run.workdir, others, features)
            else:
                results[i] = train(run.config, str(run.workdir), given=())
        else:
            console.print(f"{line} is finished", highlight=False)


def _load(paths: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """The configs by stem, overridden alike.

    Raises:
      InputError: no config, one that does not load, or two of one name.
    """
    if not paths:
        raise InputError("--configs=A.py,B.py,... is needed; see configs/")
    config_by_name = {}
    for path in paths:
        stem = _stem(path)
        if stem in config_by_name:
            raise InputError(f"--configs has two files called {stem}; results go by that name")
        config_by_name[stem] = cli.override(config_files.load_config(path), overrides)
    return config_by_name


def _stem(path: str) -> str:
    """The file's name, and the argument of FILE.py:ARGUMENT."""
    file, _, argument = path.partition(":")
    return "_".join(filter(None, [pathlib.Path(file).stem, argument]))


def _runs(path: pathlib.Path, config_by_name: dict[str, Any], seeds: Sequence[int]) -> list[Run]:
    """Seed by seed, so that a stopped comparison has seen every config."""
    stems = list(config_by_name)
    # "digits_adapt" and "digits_palm" are "adapt" and "palm" in tables.
    shared = os.path.commonprefix(stems).rfind("_") + 1 if len(stems) > 1 else 0
    runs = []
    for seed in seeds:
        for stem, config in config_by_name.items():
            config = copy.deepcopy(config)
            config.seed = seed
            runs.append(Run(stem[shared:], seed, config, path / stem / f"seed{seed}"))
    return runs


def _check_unfinished(runs: Sequence[Run]) -> None:
    """What could stop a later run is found before the first one trains."""
    seen = set()
    for run in runs:
        if "clip" in run.config:
            continue  # `_check` has seen its words and images
        checkpoints.check_config(run.workdir, run.config.to_dict())
        folders.prepare(str(run.workdir))
        images = ("train_data", "test_data", "val_data", "ood", "image_size", "batch_size")
        if (key := tuple(run.config[k] for k in images)) not in seen:
            checks.load_data(run.config)
            seen.add(key)


if __name__ == "__main__":
    CONFIGS = flags.DEFINE_list("configs", [], "Config files, separated by commas.")
    SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds, separated by commas.")
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the runs and of the comparison.")
    SET = flags.DEFINE_multi_string(
        "set", [], "Config fields for all runs: key=value,key=value; may be given several times."
    )
    ALLOW = flags.DEFINE_bool(
        "allow_different", False, "Accept configs that differ in data, network or length."
    )
    FEATURES = flags.DEFINE_string("from_features", "", "Embeddings for zero-shot configs.")
    ONE = flags.DEFINE_list(
        "one_class", None, "Each class in turn as ID, the others as OOD: all, or 0,1,3+5."
    )

    def main():
        """Compares configs, on all classes or class by class."""
        given = {"overrides": SET.value, "allow_different": ALLOW.value}
        chosen = (CONFIGS.value, SEEDS.value, WORKDIR.value)
        if ONE.value is None:
            compare(*chosen, **given, from_features=FEATURES.value)
        elif FEATURES.value:
            raise InputError("--from_features does not go with --one_class")
        else:
            classes = () if ONE.value == ["all"] else ONE.value
            one_class(chosen[0], classes, *chosen[1:], **given)

    cli.run(main)
