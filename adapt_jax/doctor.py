"""Job: is a finished run what it seems? Checks its files against each other and against its images.

    python -m adapt_jax.doctor --workdir=runs/mine [--no_images] [--json]

Says OK, WARN or FAIL with numbers and what to do, see `checkup` and `checkup_sets`. Exit code 1
if anything is FAIL. The network is not run; nothing is changed.
"""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from rich.table import Table
from rich.text import Text

from adapt_jax import (
    checkpoints,
    checkup,
    checkup_sets,
    cli,
    detector_specs,
    experiment,
    extract,
    inputs,
    logbook,
    outputs,
    probes,
    results,
    scoring,
    sharding,
    workdirs,
)
from adapt_jax.checkup import FAIL, OK, WARN, Finding
from adapt_jax.config import completed
from adapt_jax.core.errors import InputError
from adapt_jax.data import suites

# Names in a suite of sets that have others in files. A run may train on less than its id_train.
SPLITS = {"id_test": scoring.ID, "id_val": scoring.VAL}
STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}
Say = Callable[[str], None]
Counts = dict[str, dict[str, int | None]]  # set -> who says so -> images


class Run(NamedTuple):
    """What a folder holds: the config its results were made with, results, images, state.

    `plan`: the sets; `roles`: of the sets by name, see `checkup_sets`; `checkpoint`: the digest,
    else that of the results; data and state are None where they cannot be had.
    """

    path: pathlib.Path
    config: Any
    found: Mapping[str, Any]
    plan: suites.Suite
    roles: Mapping[str, str]
    data: inputs.Data | None
    state: Any
    checkpoint: str | None


def diagnose(workdir: str, *, images: bool = True, say: Say = lambda text: None) -> list[Finding]:
    """Everything there is to say about a run.

    Args:
      workdir: of a trained run, evaluated or not.
      images: whether its image sets are read, too.
      say: told what is being done.

    Raises:
      InputError: no run there, or another program is writing it.
    """
    path = pathlib.Path(workdir or "").expanduser()
    if not workdir or not path.is_dir():
        raise InputError(f"--workdir {workdir or ''} is not a folder; give that of a finished run")
    known, path = checkpoints.recall_config(path), workdirs.prepare(path)
    if not checkpoints.has_checkpoint(path):
        raise InputError(f"{path} has no checkpoint yet; train it first")
    with workdirs.locked(path):
        run, said = _open(path, known, images, say)
        counted: Counts = {name: {} for name in run.roles}
        for split in (*run.plan.sets, *run.plan.splits):
            name = SPLITS.get(split.name, split.name)
            if run.plan.name and name in counted:
                counted[name][f"suite {run.plan.name}"] = split.count
        said += _features(run, counted, say)
        if run.data is not None:
            said += _images(run, counted, say)
        if run.found["rows"]:
            said += _scores(run, counted, say)
    return said + checkup.counts({name: where for name, where in counted.items() if where})


def _open(path, known: dict, images: bool, say: Say) -> tuple[Run, list[Finding]]:
    """Reads what all checks need, and checks the checkpoint."""
    said, data, found = [], None, {"rows": []}
    try:
        found = results.read(path)
    except InputError as e:
        status = FAIL if (path / "results.json").exists() else WARN
        said.append(Finding(status, "results", str(e), checkup.EVALUATE))
    config = completed({**known, **found.get("config", {})})
    plan = inputs.suite(config)
    if images:
        say("reading images")
        try:
            data = experiment.load_data(config, say)
        except InputError as e:
            remedy = "restore the images, or check the rest with --no_images"
            said.append(Finding(FAIL, "images", str(e), remedy))
    facts = checkpoints.recall_data(path)
    if data is not None:
        now = experiment.data_facts(config, data.train)
        said += checkup.unchanged(facts.get("train_fingerprint"), now["train_fingerprint"])
        facts = now
    if not facts:
        raise InputError(f"{path} has no data.json; leave --no_images out, or evaluate it again")
    say("checkpoint")
    state, more = _checkpoint(path, config, facts["num_classes"], facts["num_images"])
    checkpoint, recorded = None, found.get("checkpoint_sha256")
    if state is not None:
        checkpoint = checkpoints.digest(
            experiment.host({"params": state.params, "batch_stats": state.batch_stats})
        )
        more += checkup.identity(checkpoint, recorded) if recorded else []
    run = Run(path, config, found, plan, _roles(config, plan), data, state, checkpoint or recorded)
    return run, said + more


def _checkpoint(path, config, classes: int | None, images: int):
    """The state the config evaluates, None if it cannot be read, and what to say about it."""
    mesh = sharding.make_mesh()
    parts = experiment.build(
        config, mesh=mesh, num_classes=classes, num_images=images, mean_std=None
    )
    try:
        state = outputs.restore(config, path, parts, mesh)
    except (InputError, OSError) as e:
        remedy = "restore its folder, or train again"
        return None, [Finding(FAIL, "checkpoint", str(e), remedy)]
    learnt = {"params": state.params, "batch_stats": state.batch_stats}
    learnt["method"] = state.method_state
    named = jax.tree_util.tree_leaves_with_path(learnt)
    said = checkup.weights({jax.tree_util.keystr(k): np.asarray(v) for k, v in named})
    newest = max(int(p.name) for p in (path / "checkpoints").iterdir() if p.name.isdigit())
    return state, said + checkup.length(newest, experiment.total_steps(config, images))


def _roles(config, plan: suites.Suite) -> dict[str, str]:
    """Of every set an evaluation looks at, by name."""
    roles = {"train": checkup_sets.TRAIN, scoring.ID: scoring.ID}
    if plan.id_val.source:
        roles[scoring.VAL] = scoring.VAL
    if config.search:
        roles[scoring.OOD_VAL] = scoring.OOD_VAL
    shifted = scoring.SHIFTED
    return roles | {s.name: shifted if s.group == shifted else "ood" for s in plan.sets}


def _features(run: Run, counted: Counts, say: Say) -> list[Finding]:
    """The cached outputs, one set in memory at a time."""
    said, brief, classify = [], {}, None
    for name, role in run.roles.items():
        say(f"features of {name}")
        arrays = extract.stored(run.path / "features", run.checkpoint or "", name)
        if arrays is None:
            detail = "no outputs of this set are kept for this checkpoint, or they are damaged"
            said.append(Finding(WARN, f"features of {name}", detail, checkup.EVALUATE))
            continue
        counted[name] |= {k: len(v) for k, v in arrays.items() if k != "key"}
        if run.data is not None and str(arrays["key"]) not in _keys(run, name):
            detail = "made from other images or with another preprocessing than there is now"
            said.append(Finding(FAIL, f"features of {name}", detail, checkup.EVALUATE))
        brief[name] = checkup_sets.summarize_features(arrays["features"])
        said += checkup_sets.features(name, role, brief[name])
        labels = arrays.get("labels")
        if labels is None or brief[name].broken:
            continue
        if name == "train":
            classify = probes.nearest_mean(outputs.as_outputs(arrays))
            classes = int(labels.max()) + 1
            protos = getattr(getattr(run.state, "method_state", None), "prototypes", None)
            if protos is not None and "embeddings" in arrays:
                said += checkup.prototypes(arrays["embeddings"], labels, np.asarray(protos))
        if name == scoring.ID and classify is not None and classes > 1:
            by = {"nearest class mean": np.mean(classify(arrays["features"]) == labels)}
            if "logits" in arrays:
                by["classifier"] = np.mean(arrays["logits"].argmax(axis=1) == labels)
            said += checkup.accuracy(classes, by)
    return said + checkup_sets.features_apart(brief, run.roles)


def _keys(run: Run, name: str) -> set[str]:
    """The keys the cache of a set may have: the precision depends on where it was made."""
    mean_std = experiment.evaluation_mean_std(run.config, run.data.train)
    dataset = run.data.evaluated()[name]
    kinds = ("float32", "bfloat16", "float16")
    return {extract.key(run.checkpoint, dataset, mean_std, kind) for kind in kinds}


def _images(run: Run, counted: Counts, say: Say) -> list[Finding]:
    said, brief = [], {}
    for name, dataset in run.data.evaluated().items():
        say(f"images of {name}")
        brief[name] = checkup_sets.summarize_images(dataset.images)
        counted[name]["images"] = len(dataset.images)
        said += checkup_sets.images(name, run.roles[name], brief[name], brief["train"])
    return said + checkup_sets.overlaps({k: s.hashes for k, s in brief.items()}, run.roles)


def _scores(run: Run, counted: Counts, say: Say) -> list[Finding]:
    """results.json and the scores on disk, detector by detector."""
    found, rows = run.found, run.found["rows"]
    ood = [s.name for s in run.plan.sets if s.group != scoring.SHIFTED]
    shifted = [s.name for s in run.plan.sets if s.group == scoring.SHIFTED]
    failed, unfit = found.get("failed", {}), found.get("unfit", {})
    specs = [s.text for s in detector_specs.parse(run.config.detectors) if s.text not in unfit]
    said = checkup.rows(rows, specs, ood, failed)
    if run.data is not None and "lists_sha256" in found:
        said += checkup.unchanged(
            found["lists_sha256"], inputs.protocol_hash(run.data), "names of test images"
        )
    in_id = counted.setdefault("ID side of results", {})
    for detector in dict.fromkeys(r["detector"] for r in rows):
        say(f"scores of {detector}")
        folder, by_set = run.path / "scores" / detector, {}
        try:
            for name in (scoring.ID, *shifted, *ood):
                by_set[name] = results.load_scores(folder / f"{name}.npz").scores
                counted[name][f"scores of {detector}"] = len(by_set[name])
        except InputError as e:
            said.append(Finding(FAIL, f"scores of {detector}", str(e), checkup.EVALUATE))
            continue
        of = {r["ood"]: r for r in rows if r["detector"] == detector and r["ood"] in ood}
        for name, row in of.items():
            counted[name][f"n_ood of {detector}"] = row["n_ood"]
            in_id[f"n_id of {detector} on {name}"] = row["n_id"]
        id_scores = np.concatenate([by_set.pop(name) for name in (scoring.ID, *shifted)])
        in_id[f"scores of {detector}"] = len(id_scores)
        said += checkup.scores(detector, id_scores, by_set, of)
    return said


def table(findings: list[Finding]) -> Table:
    """Findings for the console, the worst at the end, where one looks first."""
    out = Table(expand=True)
    out.add_column("", width=4)
    for heading, ratio in (("what", 3), ("detail", 6), ("what to do", 4)):
        out.add_column(heading, overflow="fold", ratio=ratio)
    for status, *texts in sorted(findings, key=lambda f: list(STYLES).index(f.status)):
        out.add_row(Text(status, style=STYLES[status]), *map(Text, texts))
    return out


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a finished run.")
    NO_IMAGES = flags.DEFINE_bool("no_images", False, "Leave the image sets unread.")
    JSON = flags.DEFINE_bool("json", False, "Print the findings as JSON.")

    def main() -> None:
        """Checks a run; exits with 1 if anything is FAIL."""
        if JSON.value:
            findings = diagnose(WORKDIR.value, images=not NO_IMAGES.value)
            print(json.dumps([f._asdict() for f in findings], indent=1))
        else:
            console = logbook.console()
            with logbook.doing(console) as say:
                findings = diagnose(WORKDIR.value, images=not NO_IMAGES.value, say=say)
            console.print(table(findings))
            of = {s: sum(f.status == s for f in findings) for s in STYLES}
            console.print(", ".join(f"{n} {s}" for s, n in of.items()))
        if any(f.status == FAIL for f in findings):
            raise SystemExit(cli.EXIT_FAILED)

    cli.run(main)
