"""Job: a checkpoint's outputs on every set -> detectors -> results. Re-evaluates finished runs.

`python -m adapt_jax.evaluate --help` says what it reads and writes.
"""

import contextlib
import pathlib

import numpy as np

from adapt_jax import profiling
from adapt_jax.config import completed, default_config
from adapt_jax.config.fields import steps_range
from adapt_jax.core.arrays import to_host
from adapt_jax.core.errors import InputError
from adapt_jax.data import suites
from adapt_jax.data.set_names import ID, id_side
from adapt_jax.evaluate import scoring, search
from adapt_jax.evaluate.task import make_task, network_outputs
from adapt_jax.experiment import checks, derived, image_sets, record
from adapt_jax.experiment.record import Experiment
from adapt_jax.inference import learning, outputs, probes
from adapt_jax.inference.restore import restore
from adapt_jax.models import wrapped
from adapt_jax.models.wrapped import Wrapped
from adapt_jax.report import publish
from adapt_jax.results.evaluation import Evaluation, pictured
from adapt_jax.runtime import buckets, processes, terminal
from adapt_jax.training.train_state import TrainState
from adapt_jax.workdir import bundle, checkpoints, folders, trackers


def evaluate(
    experiment: Experiment, workdir: pathlib.Path, state: TrainState, *, profile: str = ""
) -> dict:
    """Scores every set with every detector of the config and writes the results.

    Args:
      experiment: the run, with its image sets.
      workdir: the folder the results go to.
      state: the trained state.
      profile: batches "START:STOP" of the network's passes to trace; all sets then go through the
        network again.

    Returns:
      What results.json holds.

    Raises:
      InputError: a detector cannot work with these outputs, or its scores are degenerate.
    """
    config, data = experiment.config, experiment.data
    console = terminal.console()
    workdir = pathlib.Path(workdir)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    checkpoint = checkpoints.tree_sha256(to_host(variables))
    wants = [s.text for s in data.specs if "val" in s.make().needs]
    if data.val is None and wants:
        console.print(f"no val_data: training images stand in for {', '.join(wants)}")
    with terminal.doing(console) as report_progress:
        with profiling.calls(
            steps_range(profile, "--profile"),
            workdir / "profile" / "evaluate",
            terminal.printer(console),
            unit="batch",
            **derived.profile_subject(config, experiment.mesh, evaluating=True),
        ) as profile_passes:
            arrays = network_outputs(
                experiment, workdir, variables, checkpoint, report_progress, profile_passes
            )
        task = make_task(experiment, state, arrays)
        report_progress("accuracies")
        accuracies = _accuracies(arrays["train"], task, config.linear_probe)
        scored = scoring.run(
            data.specs,
            task,
            choose=search.choose if config.search else None,
            resamples=config.bootstrap,
            selective=config.selective,
            report_progress=report_progress,
        )
    facts = {
        "id": data.suite.id_test.source,
        "method": derived.trained_by(config),
        "model": config.model.name,
        "checkpoint_sha256": checkpoint,
        "train": config.train_data,
        "val": data.suite.id_val.source or f"{config.train_data} (training images)",
        "ood_val": data.suite.ood_val.source if config.search else "",
        "lists_sha256": image_sets.names_sha256(data),
        "label_rules": dict(data.label_rules),
        "step": int(state.step),
        "unreadable_images": {n: d.skipped for n, d in data.evaluated().items() if d.skipped},
        "total_steps": experiment.plan.total_steps,
        **accuracies,
    }
    prototypes = getattr(state.method_state, "prototypes", None)
    sets = {name: d for name, d in data.evaluated().items() if name in (ID, *data.ood)}
    evaluation = Evaluation(
        title=f"{derived.trained_by(config)} on {config.train_data}, {config.model.name}",
        facts=facts,
        config=config.to_dict(),
        scored=scored,
        groups=data.groups,
        sets=sets,
        vectors=pictured({name: arrays[name] for name in sets}),
        class_names=data.train.class_names,
        prototypes=None if prototypes is None else np.asarray(prototypes),
    )
    # First: the table means nothing then.
    if signs := learning.signs(arrays["train"], scored.rows):
        console.print(f"{signs}; {learning.REMEDY}", highlight=False, markup=False)
    results = publish.write(workdir, evaluation, console)
    trackers.summarise(workdir, results, terminal.printer(console))
    return results


def _accuracies(train, task: scoring.Task, linear_probe: bool) -> dict:
    """Every accuracy on the ID test images that can be computed; {} where they have no labels.

    Under full-spectrum evaluation these are the test set and its covariate-shifted versions.
    """
    tests = [task.sets[name] for name in id_side(task.groups)]
    if "labels" not in train or any(test.labels is None for test in tests):
        return {}
    test = outputs.joined(tests)
    accuracies = {}
    if test.logits is not None:
        accuracies["id_accuracy"] = float(np.mean(test.logits.argmax(axis=1) == test.labels))
    train = outputs.as_outputs(train)
    accuracies["nearest_mean_accuracy"] = probes.nearest_mean_accuracy(train, test)
    if linear_probe:
        accuracies["linear_probe_accuracy"] = probes.linear_probe_accuracy(train, test)
    return accuracies


def evaluate_run(
    workdir: str, *, model: str | Wrapped = "", out: str = "", profile: str = "", **changes
) -> dict:
    """Evaluates a finished (or stopped) run again, or a network that was made elsewhere.

    Args:
      workdir: folder of the run, or of an export; with `model`, the folder for its results and for
        the files that `predict` and `export` need.
      model: network from `adapt_jax.wrap`, or "package.module:factory", a function that returns
        one; `train_data`, `test_data` and `ood` are then needed as well, the first time.
      out: folder that results are written to; by default the run's. An export is never changed, so
        it needs one.
      profile: batches to trace, see `evaluate`.
      **changes: fields of its config that are different this time: `detectors`, `ood`,
        `val_data`, `ood_val_data`, `eval_checkpoint`, `linear_probe`, `full_spectrum`, `search`,
        `bootstrap`, `selective`. None and "" leave a field as it is.

    Raises:
      InputError: no run there, or wrong choices.
    """
    console = terminal.console()
    with contextlib.ExitStack() as held:
        with processes.together():
            steps_range(profile, "--profile")
            name = model and wrapped.named(model)
            config = _config(workdir, changes, name)
            given = [field for field, value in changes.items() if value not in (None, "")]
            checks.check_config(config, training=False, given=given)
            source = buckets.local(workdir)
            path = folders.prepare(_results_folder(source, out, changes))
            held.enter_context(folders.locked(path))
            if name:
                checkpoints.remember_config(path, config.to_dict())
            owner = bundle if bundle.is_export(source) else checkpoints
            names = owner.class_names(source)
            data = checks.load_data(config, terminal.printer(console), names)
            experiment = record.make(config, data)
            owner.check_data(source, experiment.facts)
        folders.check_shared(path)
        held.enter_context(terminal.failures(path))
        return evaluate(experiment, path, restore(experiment, source), profile=profile)


def _results_folder(source: pathlib.Path, out: str, changes) -> str | pathlib.Path:
    """Where results go: to the run itself, those of an export to `out`."""
    if not bundle.is_export(source):
        if out:
            raise InputError(f"--out is for exports; the results of a run go to {source}")
        return source
    if changes.get("eval_checkpoint"):
        raise InputError(f"{source} is an export, of one checkpoint; leave --checkpoint out")
    if not out:
        raise InputError(f"{source} is an export and stays as it is; give --out=DIR for results")
    bundle.verify(source)
    return out


def _config(workdir: str, changes, model: str):
    """A run's config with other choices; the first one of a network that was made elsewhere."""
    path = buckets.local(workdir or "")
    if model and not _is_of(path, model):
        config = _first_config(model, changes)
    elif not workdir or not path.is_dir():
        raise InputError(f"--workdir {workdir or ''} is not a folder; give that of a finished run")
    else:
        bundle.refuse_zero_shot(path)
        config = completed(checkpoints.recall_config(path))
    for field, value in changes.items():
        if value not in (None, ""):
            config[field] = value
    if not config.ood:
        raise InputError("the run's config names no OOD sets; give some with --ood=...")
    return config


def _is_of(path: pathlib.Path, model: str) -> bool:
    """Whether a folder holds an evaluation of this network."""
    if not (path / "config.json").is_file():
        return False
    return checkpoints.recall_config(path).get("model", {}).get("name") == model


def _first_config(model: str, changes):
    ood = changes.get("ood") or ""
    fixed = ood and suites.resolve(ood).id_test.source
    for field in ("train_data", "ood") if fixed else ("train_data", "test_data", "ood"):
        if not changes.get(field):
            raise InputError(
                f"model {model} is evaluated on images of yours: give train_data, what detectors "
                f"are fitted on, test_data and ood; {field} is missing"
            )
    network = wrapped.find(model)
    # The method never trains: it says that there are labels, and what is read.
    config = default_config("supcon" if network.model.num_classes is None else "cross_entropy")
    config.model.name, config.model.dtype = model, "float32"
    config.image_size, config.mean, config.std = network.image_size, network.mean, network.std
    config.batch_size, config.epochs, config.detectors = 1, 0, "all"
    return config
