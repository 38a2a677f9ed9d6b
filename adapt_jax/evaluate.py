"""Job: a checkpoint's outputs on every set -> detectors -> results. Re-evaluates finished runs.

    python -m adapt_jax.evaluate --workdir=runs/demo [--detectors=all] [--ood=...] [--suite=...]

Each set goes through the network once per checkpoint (cached in WORKDIR/features); detectors work
on the cache. Writes results.json, results.csv, scores/<detector>/<set>.npz and report.html,
replacing those of the last evaluation. With --from_features=DIR the outputs were made elsewhere,
see `adapt_jax.from_features`; with an export as WORKDIR they go to --out.
"""

import contextlib
import pathlib

import numpy as np
from absl import flags

from adapt_jax import (
    boards,
    checkpoints,
    cli,
    detector_specs,
    experiment,
    exported,
    from_features,
    inputs,
    logbook,
    outputs,
    probes,
    processes,
    profiling,
    results_files,
    scoring,
    sharding,
    workdirs,
)
from adapt_jax.config import completed
from adapt_jax.core.errors import InputError
from adapt_jax.train_state import TrainState


def evaluate(config, workdir, *, data, parts, mesh, state: TrainState, profile: str = "") -> dict:
    """Scores every set with every detector of the config and writes the results.

    Args:
      config: of the run.
      workdir: its folder.
      data: every image set, from `experiment.load_data`.
      parts: from `experiment.build`.
      mesh: the devices.
      state: the trained state.
      profile: "START:STOP" traces these batches of the network's passes over all sets, which are
        then made anew.

    Returns:
      What results.json holds.

    Raises:
      InputError: a detector cannot work with these outputs, or its scores are degenerate.
    """
    console = logbook.console()
    workdir = pathlib.Path(workdir)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    checkpoint = checkpoints.digest(experiment.host(variables))
    wants = [s.text for s in detector_specs.parse(config.detectors) if "val" in s.make().needs]
    if data.val is None and wants:
        console.print(f"no val_data: training images stand in for {', '.join(wants)}")
    with logbook.doing(console) as say:
        with profiling.calls(
            profiling.steps_range(profile, "--profile"),
            workdir / "profile" / "evaluate",
            logbook.printer(console),
            unit="batch",
            **experiment.described(config, mesh, evaluating=True),
        ) as watch:
            arrays = outputs.network_outputs(
                config, workdir, data, parts, mesh, variables, checkpoint, say, watch
            )
        task = outputs.task(config, data, parts, mesh, state, arrays)
        say("accuracies")
        accuracies = _accuracies(arrays["train"], task, config.linear_probe)
        scored = results_files.score(config, task, say)
    suite = inputs.suite(config)
    facts = {
        "id": suite.id_test.source,
        "method": config.method.name,
        "model": config.model.name,
        "checkpoint_sha256": checkpoint,
        "train": config.train_data,
        "val": suite.id_val.source or f"{config.train_data} (training images)",
        "ood_val": suite.ood_val.source if config.search else "",
        "lists_sha256": inputs.protocol_hash(data),
        "step": int(state.step),
        "total_steps": experiment.total_steps(config, len(data.train.images)),
        **accuracies,
    }
    prototypes = getattr(state.method_state, "prototypes", None)
    results_files.write(
        workdir,
        config=config,
        facts=facts,
        scored=scored,
        groups=data.groups,
        sets={name: d for name, d in data.evaluated().items() if name in (scoring.ID, *data.ood)},
        arrays=arrays,
        title=f"{config.method.name} on {config.train_data}, {config.model.name}",
        class_names=data.train.class_names,
        prototypes=None if prototypes is None else np.asarray(prototypes),
        console=console,
    )
    results = results_files.read_or_raise(workdir, scored)
    boards.summarise(config, workdir, results, logbook.printer(console))
    return results


def _accuracies(train, task: scoring.Task, linear_probe: bool) -> dict:
    """Every accuracy on the ID test images that can be had; {} where they have no labels.

    Under full-spectrum evaluation these are the test set and its covariate-shifted versions.
    """
    shifted = [name for name, group in task.groups.items() if group == scoring.SHIFTED]
    tests = [task.sets[name] for name in (scoring.ID, *shifted)]
    if "labels" not in train or any(test.labels is None for test in tests):
        return {}
    test = outputs.joined(tests)
    found = {}
    if test.logits is not None:
        found["id_accuracy"] = float(np.mean(test.logits.argmax(axis=1) == test.labels))
    train = outputs.as_outputs(train)
    found["nearest_mean_accuracy"] = probes.nearest_mean_accuracy(train, test)
    if linear_probe:
        found["linear_probe_accuracy"] = probes.linear_probe_accuracy(train, test)
    return found


def evaluate_run(workdir: str, *, out: str = "", profile: str = "", **changes) -> dict:
    """Evaluates a finished (or stopped) run again.

    Args:
      workdir: of the run, or an export.
      out: where results go; by default to the run. An export stays as it is, so it needs one.
      profile: see `evaluate`.
      **changes: fields of its config that are different this time: `detectors`, `ood`,
        `val_data`, `ood_val_data`, `eval_checkpoint`, `linear_probe`, `full_spectrum`, `search`,
        `bootstrap`. None and "" leave a field as it is.

    Raises:
      InputError: no run there, or wrong choices.
    """
    console = logbook.console()
    with contextlib.ExitStack() as held:
        with processes.together():
            profiling.steps_range(profile, "--profile")
            config = _config(workdir, changes)
            experiment.check(config, training=False)
            source = pathlib.Path(workdir).expanduser()
            path = workdirs.prepare(_results_folder(source, out, changes))
            held.enter_context(workdirs.locked(path))
            data = experiment.load_data(config, lambda text: console.print(text, highlight=False))
            check = exported if exported.is_export(source) else checkpoints
            check.check_data(source, experiment.data_facts(config, data.train))
        workdirs.check_shared(path)
        held.enter_context(logbook.failures(path))
        mesh = sharding.make_mesh()
        parts = experiment.build_for(config, mesh, data.train)
        state = outputs.restore(config, source, parts, mesh)
        return evaluate(
            config, path, data=data, parts=parts, mesh=mesh, state=state, profile=profile
        )


def _results_folder(source: pathlib.Path, out: str, changes) -> str | pathlib.Path:
    """Where results go: to the run itself, those of an export to `out`."""
    if not exported.is_export(source):
        if out:
            raise InputError(f"--out is for exports; the results of a run go to {source}")
        return source
    if changes.get("eval_checkpoint"):
        raise InputError(f"{source} is an export, of one checkpoint; leave --checkpoint out")
    if not out:
        raise InputError(f"{source} is an export and stays as it is; give --out=DIR for results")
    exported.verify(source)
    return out


def _config(workdir: str, changes):
    """A run's config with other choices."""
    if not workdir or not pathlib.Path(workdir).expanduser().is_dir():
        raise InputError(f"--workdir {workdir or ''} is not a folder; give that of a finished run")
    config = completed(checkpoints.recall_config(pathlib.Path(workdir).expanduser()))
    for field, value in changes.items():
        if value not in (None, ""):
            config[field] = value
    if not config.ood:
        raise InputError("the run's config names no OOD sets; give some with --ood=...")
    return config


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run, or an export.")
    OUT = flags.DEFINE_string("out", "", "Where the results of an export go.")
    FEATURES = flags.DEFINE_string("from_features", "", "Folder of outputs made elsewhere.")
    DETECTORS = flags.DEFINE_string("detectors", "", 'E.g. mahalanobis,knn?k=100; or "all".')
    OOD = flags.DEFINE_string("ood", "", 'Instead of the run\'s: "group/name=source,...".')
    SUITE = flags.DEFINE_string("suite", "", "The same by a suite's name.")
    VAL = flags.DEFINE_string("val_data", "", "Held-out ID images, instead of the run's.")
    OOD_VAL = flags.DEFINE_string("ood_val_data", "", "OOD images that only a search sees.")
    PROBE = flags.DEFINE_bool("linear_probe", None, "Also train a linear classifier on features.")
    WHICH = flags.DEFINE_string("checkpoint", "", '"last" or "best", instead of the run\'s.')
    FULL = flags.DEFINE_bool("full_spectrum", None, "Count covariate-shifted ID sets as ID.")
    SEARCH = flags.DEFINE_bool("search", None, "Choose hyper-parameters on validation sets.")
    PROFILE = flags.DEFINE_string(
        "profile", "", "START:STOP: batches to trace, see docs/profiling.md."
    )
    BOOTSTRAP = flags.DEFINE_integer("bootstrap", None, "Resamples behind intervals; 0 for none.")

    def main():
        """Evaluates a run, or features."""
        changes = {
            "detectors": DETECTORS.value,
            "full_spectrum": FULL.value,
            "search": SEARCH.value,
            "bootstrap": BOOTSTRAP.value,
        }
        if FEATURES.value:
            given = ("ood", "suite", "val_data", "ood_val_data", "linear_probe", "checkpoint")
            for name in ("out", *given, "profile"):
                if flags.FLAGS[name].present:
                    raise InputError(f"--{name} does not go with --from_features: files say it all")
            from_features.evaluate_features(FEATURES.value, WORKDIR.value, **changes)
            return
        if OOD.value and SUITE.value:
            raise InputError("--ood and --suite both say which sets; give one of them")
        evaluate_run(
            WORKDIR.value,
            out=OUT.value,
            profile=PROFILE.value,
            **changes,
            ood=OOD.value or SUITE.value,
            val_data=VAL.value,
            ood_val_data=OOD_VAL.value,
            eval_checkpoint=WHICH.value,
            linear_probe=PROBE.value,
        )

    cli.run(main)
