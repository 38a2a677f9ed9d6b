"""Job: checks the files of a finished run against each other and against its images.

    python -m adapt_jax.doctor --workdir=runs/mine [--no_images] [--json]

Each check reports OK, WARN or FAIL with numbers and what to do, see `run_checks` and `set_checks`.
Exit code 1 if anything is FAIL. The network is not run; nothing is changed.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from adapt_jax import detectors
from adapt_jax.config import completed
from adapt_jax.core.arrays import to_host
from adapt_jax.core.errors import InputError
from adapt_jax.data import suites
from adapt_jax.data.set_names import ID, OOD_VAL, SHIFTED, VAL
from adapt_jax.doctor import run_checks, set_checks, zero_shot_checks
from adapt_jax.doctor.findings import FAIL, WARN, Finding
from adapt_jax.experiment import checks, derived, image_sets, record
from adapt_jax.experiment.record import Experiment
from adapt_jax.inference import feature_cache, learning, outputs, probes, zero_shot_files
from adapt_jax.inference.restore import restore
from adapt_jax.models import wrapped
from adapt_jax.results import result_files
from adapt_jax.results.scores import load_scores, path_of
from adapt_jax.runtime import buckets
from adapt_jax.workdir import bundle, checkpoints, folders

# Names in a suite of sets that have others in files. A run may train on less than its id_train.
SPLITS = {"id_test": ID, "id_val": VAL}
ReportProgress = Callable[[str], None]
LEARNING = "learning"  # what the finding of a network that has hardly learnt is about
Counts = dict[str, dict[str, int | None]]  # set -> who says so -> images


class Run(NamedTuple):
    """The content of a run's folder: the config its results were made with, results, images, state.

    `plan`: the sets; `roles`: of the sets by name, see `set_checks`; `checkpoint`: its SHA-256,
    else that of the results; data and state are None where they cannot be read.
    """

    path: pathlib.Path
    config: Any
    results: Mapping[str, Any]
    plan: suites.Suite
    roles: Mapping[str, str]
    data: image_sets.Data | None
    state: Any
    checkpoint: str | None


def diagnose(
    workdir: str, *, images: bool = True, report_progress: ReportProgress = lambda text: None
) -> list[Finding]:
    """The findings of all checks of a run.

    Args:
      workdir: folder of a trained run, evaluated or not, or of a zero-shot run.
      images: whether to read its image sets, too.
      report_progress: function called with a line about the current check.

    Raises:
      InputError: no run there, or another program is writing it.
    """
    path = buckets.local(workdir or "")
    if not workdir or not path.is_dir():
        raise InputError(f"--workdir {workdir or ''} is not a folder; give that of a finished run")
    if zero_shot_files.is_run(path):
        with folders.read(path):
            return zero_shot_checks.diagnose(path, report_progress)
    bundle.refuse_zero_shot(path)
    config = checkpoints.recall_config(path)
    if not (wrapped.is_own(config["model"]["name"]) or checkpoints.has_checkpoint(path)):
        raise InputError(f"{path} has no checkpoint yet; train it first")
    with folders.read(path):
        run, said = _open(path, config, images, report_progress)
        counted: Counts = {name: {} for name in run.roles}
        for split in (*run.plan.sets, *run.plan.splits):
            name = SPLITS.get(split.name, split.name)
            if run.plan.name and name in counted:
                counted[name][f"suite {run.plan.name}"] = split.count
        said += _features(run, counted, report_progress)
        if run.data is not None:
            said += _images(run, counted, report_progress)
        if run.results["rows"]:
            said += _scores(run, counted, report_progress)
    said += run_checks.counts({name: where for name, where in counted.items() if where})
    return sorted(said, key=lambda finding: finding.what != LEARNING)


def _open(
    path, run_config: dict, images: bool, report_progress: ReportProgress
) -> tuple[Run, list[Finding]]:
    """Reads what all checks need, and checks the checkpoint."""
    said: list[Finding] = []
    data = None
    results: dict[str, Any] = {"rows": []}
    try:
        results = result_files.read(path)
    except InputError as e:
        status = FAIL if (path / "results.json").exists() else WARN
        said.append(Finding(status, "results", str(e), run_checks.EVALUATE))
    config = completed({**run_config, **results.get("config", {})})
    plan = image_sets.suite(config)
    if images:
        report_progress("reading images")
        try:
            data = checks.load_data(config, report_progress, checkpoints.class_names(path))
        except InputError as e:
            remedy = "restore the images, or check the rest with --no_images"
            said.append(Finding(FAIL, "images", str(e), remedy))
    facts = checkpoints.recall_data(path)
    if data is not None:
        now = record.make(config, data).facts
        said += run_checks.unchanged(facts.get("train_fingerprint"), now["train_fingerprint"])
        facts = dict(now)
    if not facts:
        raise InputError(f"{path} has no data.json; leave --no_images out, or evaluate it again")
    report_progress("checkpoint")
    state, more = _checkpoint(path, record.recall(config, facts))
    checkpoint, recorded = None, results.get("checkpoint_sha256")
    if state is not None:
        checkpoint = checkpoints.tree_sha256(
            to_host({"params": state.params, "batch_stats": state.batch_stats})
        )
        more += run_checks.same_checkpoint(checkpoint, recorded) if recorded else []
    run = Run(
        path,
        config,
        results,
        plan,
        _roles(plan, config.search),
        data,
        state,
        checkpoint or recorded,
    )
    return run, said + more


def _checkpoint(path: pathlib.Path, experiment: Experiment):
    """The state the config evaluates, None if it cannot be read, and findings about it."""
    remedy = "restore its folder, or train again"
    warned: list[str] = []
    try:
        state = restore(experiment, path, strict=True, warn=warned.append)
    except (InputError, OSError) as e:
        return None, [Finding(FAIL, "checkpoint", str(e), remedy)]
    learnt = {"params": state.params, "batch_stats": state.batch_stats}
    learnt["method"] = state.method_state
    named = jax.tree_util.tree_leaves_with_path(learnt)
    said = [Finding(WARN, "checkpoint", text, remedy) for text in warned]
    said += run_checks.weights({jax.tree_util.keystr(k): np.asarray(v) for k, v in named})
    if wrapped.is_own(experiment.config.model.name):
        return state, said
    newest = checkpoints.steps_in(path)[-1]
    return state, said + run_checks.length(newest, experiment.plan.total_steps)


def _roles(plan: suites.Suite, search: bool) -> dict[str, str]:
    """Of every set an evaluation looks at, by name."""
    roles = {"train": set_checks.TRAIN, ID: ID}
    if plan.id_val.source:
        roles[VAL] = VAL
    if search:
        roles[OOD_VAL] = OOD_VAL
    shifted = SHIFTED
    return roles | {s.name: shifted if s.group == shifted else "ood" for s in plan.sets}


def _features(run: Run, counted: Counts, report_progress: ReportProgress) -> list[Finding]:
    """The cached outputs, one set in memory at a time."""
    said, brief, classify = [], {}, None
    for name, role in run.roles.items():
        report_progress(f"features of {name}")
        arrays = feature_cache.stored(run.path / "features", run.checkpoint or "", name)
        if arrays is None:
            detail = "no outputs of this set are kept for this checkpoint, or they are damaged"
            said.append(Finding(WARN, f"features of {name}", detail, run_checks.EVALUATE))
            continue
        counted[name] |= {k: len(v) for k, v in arrays.items() if k != "key"}
        if run.data is not None and str(arrays["key"]) not in _keys(run, name):
            detail = "made from other images or with another preprocessing than there is now"
            said.append(Finding(FAIL, f"features of {name}", detail, run_checks.EVALUATE))
        brief[name] = set_checks.summarize_features(arrays["features"])
        said += set_checks.features(name, role, brief[name])
        if name == "train" and (signs := learning.signs(arrays, run.results["rows"])):
            said.append(Finding(FAIL, LEARNING, signs, learning.REMEDY))
        labels = arrays.get("labels")
        if labels is None or brief[name].broken:
            continue
        if name == "train":
            classify = probes.nearest_mean(outputs.as_outputs(arrays))
            classes = int(labels.max()) + 1
            protos = getattr(getattr(run.state, "method_state", None), "prototypes", None)
            if protos is not None and "embeddings" in arrays:
                said += run_checks.prototypes(arrays["embeddings"], labels, np.asarray(protos))
        if name == ID and classify is not None and classes > 1:
            by = {"nearest class mean": np.mean(classify(arrays["features"]) == labels)}
            if "logits" in arrays:
                by["classifier"] = np.mean(arrays["logits"].argmax(axis=1) == labels)
            said += run_checks.accuracy(classes, by)
    return said + set_checks.features_apart(brief, run.roles)


def _keys(run: Run, name: str) -> set[str]:
    """The keys the cache of a set may have: the precision depends on where it was made."""
    train = run.data.train
    mean_std = derived.mean_std(run.config, train, evaluation=True)
    dataset = run.data.evaluated()[name]
    kinds = ("float32", "bfloat16", "float16")
    return {feature_cache.outputs_sha256(run.checkpoint, dataset, mean_std, kind) for kind in kinds}


def _images(run: Run, counted: Counts, report_progress: ReportProgress) -> list[Finding]:
    said, brief = [], {}
    for name, dataset in run.data.evaluated().items():
        report_progress(f"images of {name}")
        brief[name] = set_checks.summarize_images(dataset.images)
        counted[name]["images"] = len(dataset.images)
        said += set_checks.images(name, run.roles[name], brief[name], brief["train"])
    return said + set_checks.overlaps({k: s.hashes for k, s in brief.items()}, run.roles)


def _scores(run: Run, counted: Counts, report_progress: ReportProgress) -> list[Finding]:
    """results.json and the scores on disk, detector by detector."""
    results, rows = run.results, run.results["rows"]
    ood = [s.name for s in run.plan.sets if s.group != SHIFTED]
    shifted = [s.name for s in run.plan.sets if s.group == SHIFTED]
    failed, unfit = results.get("failed", {}), results.get("unfit", {})
    specs = [s.text for s in detectors.parse(run.config.detectors) if s.text not in unfit]
    said = run_checks.rows(rows, specs, ood, failed)
    if run.data is not None and "lists_sha256" in results:
        said += run_checks.unchanged(
            results["lists_sha256"], image_sets.names_sha256(run.data), "names of test images"
        )
    in_id = counted.setdefault("ID side of results", {})
    for detector in dict.fromkeys(r["detector"] for r in rows):
        report_progress(f"scores of {detector}")
        by_set = {}
        try:
            for name in (ID, *shifted, *ood):
                by_set[name] = load_scores(path_of(run.path, detector, name)).scores
                counted[name][f"scores of {detector}"] = len(by_set[name])
        except InputError as e:
            said.append(Finding(FAIL, f"scores of {detector}", str(e), run_checks.EVALUATE))
            continue
        of = {r["ood"]: r for r in rows if r["detector"] == detector and r["ood"] in ood}
        for name, row in of.items():
            counted[name][f"n_ood of {detector}"] = row["n_ood"]
            in_id[f"n_id of {detector} on {name}"] = row["n_id"]
        id_scores = np.concatenate([by_set.pop(name) for name in (ID, *shifted)])
        in_id[f"scores of {detector}"] = len(id_scores)
        said += run_checks.scores(detector, id_scores, by_set, of)
    return said
