"""Evaluation of features that another program made."""

import contextlib
from typing import Any

import numpy as np

from adapt_jax.config.fields import check_bootstrap
from adapt_jax.core.arrays import float64
from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import ID, OOD_VAL, VAL, id_side
from adapt_jax.detectors import parse
from adapt_jax.evaluate import scoring
from adapt_jax.evaluate.feature_files import load, sha256
from adapt_jax.evaluate.search import choose
from adapt_jax.inference import outputs
from adapt_jax.report import publish
from adapt_jax.results.evaluation import Evaluation
from adapt_jax.runtime import terminal
from adapt_jax.workdir import folders


def evaluate_features(
    folder: str,
    workdir: str,
    *,
    detectors: str = "",
    full_spectrum: bool | None = None,
    search: bool | None = None,
    bootstrap: int | None = None,
    selective: bool | None = None,
) -> dict:
    """Scores the sets of a folder and writes results as for a run.

    Args:
      folder: folder of npz files, see `evaluate.feature_files`.
      workdir: folder that results are written to.
      detectors: spec strings of the detectors; "all" by default.
      full_spectrum: whether shifted sets count as ID.
      search: whether hyper-parameters are chosen on `val` and `ood_val`.
      bootstrap: number of bootstrap resamples behind intervals.
      selective: whether rows get AURC, AUGRC and the two with OOD images.

    Raises:
      InputError: a file is missing, damaged, or does not fit the others.
    """
    sets, files, head, label_rules = loaded = load(folder)
    groups = files.evaluated(bool(full_spectrum))
    if search and not {VAL, OOD_VAL} <= sets.keys():
        raise InputError(f"search needs {folder}/val.npz and {folder}/ood_val.npz")
    settings: dict[str, Any] = {
        "ood": ",".join(f"{group}/{name}" for name, group in groups.items()),
        "seed": 0,
        "detectors": detectors or "all",
        "full_spectrum": bool(full_spectrum),
        "search": bool(search),
        "bootstrap": bootstrap or 0,
        "selective": bool(selective),
        "report": True,
        "from_features": str(folder),
    }
    check_bootstrap(settings["bootstrap"])
    specs = parse(settings["detectors"])
    console, path = terminal.console(), folders.prepare(workdir)
    for name, output_set in sets.items():
        count, width = output_set.outputs.features.shape
        rule = f", {label_rules[name]}" if name in label_rules else ""
        terminal.printer(console)(f"{name}: {count:,} x {width}{rule}")
    if loaded.wide:
        console.print("float64: detectors compute in it, which takes twice the memory")
    given = {name: output_set.outputs for name, output_set in sets.items() if name != "train"}
    train = sets["train"].outputs
    if VAL not in given:
        console.print("no val.npz: train.npz stands in for it")
        given[VAL] = train
    task = scoring.Task(train, head, given, groups)
    with folders.locked(path), terminal.doing(console) as report_progress:
        with float64() if loaded.wide else contextlib.nullcontext():
            scored = scoring.run(
                specs,
                task,
                choose=choose if search else None,
                resamples=settings["bootstrap"],
                selective=bool(selective),
                report_progress=report_progress,
            )
        shown = {name: output_set for name, output_set in sets.items() if name in (ID, *groups)}
        evaluation = Evaluation(
            title=f"features of {folder}",
            config=settings,
            facts={
                "id": "id",
                "method": "features",
                "model": "elsewhere",
                "from_features": str(folder),
                "checkpoint_sha256": sha256(sets),
                "val": "val" if VAL in sets else "train",
                "ood_val": "ood_val" if search else "",
                "label_rules": label_rules,
                **_accuracy(task),
            },
            scored=scored,
            groups=groups,
            sets=shown,
            vectors={name: output_set.outputs.features for name, output_set in shown.items()},
        )
        return publish.write(path, evaluation, console)


def _accuracy(task: scoring.Task) -> dict[str, float]:
    test = outputs.joined([task.sets[name] for name in id_side(task.groups)])
    if test.logits is None or test.labels is None:
        return {}
    return {"id_accuracy": float(np.mean(test.logits.argmax(axis=1) == test.labels))}
