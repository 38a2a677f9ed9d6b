"""Job: a checkpoint's outputs on every set -> detectors -> results. Re-evaluates finished runs.

    python -m adapt_jax.evaluate --workdir=runs/demo [--detectors=mahalanobis,knn?k=100] [--ood=...]

Each set goes through the network once per checkpoint (cached in WORKDIR/features); detectors work
on the cache. Writes results.json, results.csv, scores/<detector>/<set>.npz and report.html,
replacing those of the last evaluation.
"""

import pathlib
import shutil

import jax
import numpy as np
from absl import flags

from adapt_jax import (
    checkpoints,
    cli,
    detector_specs,
    experiment,
    extract,
    inputs,
    logbook,
    probes,
    report,
    results,
    sharding,
    workdirs,
)
from adapt_jax.config import completed
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment
from adapt_jax.detectors import Head, Outputs
from adapt_jax.methods.base import Method
from adapt_jax.train_state import TrainState, create

SHOWN = ("fpr95", "fpr95_idpos_nearest", "auroc", "aupr_in")  # on the console; files have all
ID = "id"  # the name of the ID test set among the score files


def evaluate(config, workdir, *, data, parts, mesh, state: TrainState) -> dict:
    """Scores every set with every detector of the config and writes the results.

    Args:
      config: of the run.
      workdir: its folder.
      data: every image set, from `experiment.load_data`.
      parts: from `experiment.build`.
      mesh: the devices.
      state: the trained state.

    Returns:
      What results.json holds.

    Raises:
      InputError: a detector cannot work with these outputs, or its scores are degenerate.
    """
    console = logbook.console()
    workdir = pathlib.Path(workdir)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    checkpoint = checkpoints.digest(experiment.host(variables))
    outputs = network_outputs(config, workdir, data, parts, mesh, variables, checkpoint)
    head = parts.model.classifier(variables)
    head = head and Head(*map(np.asarray, head))

    rows, scores, failed = [], {}, []
    train = training_outputs(outputs["train"], parts.method, state.method_state)
    for name, detector in detector_specs.make(config.detectors).items():
        try:
            new, by_set = _detector_rows(name, detector, train, head, outputs, data)
        except InputError as e:  # one detector's failure must not lose the others' results
            failed.append(str(e))
            continue
        scores[name] = by_set
        rows += _by_group(new, results.mean_rows(new))
    if not rows:
        raise InputError("; ".join(failed))

    header = results.header(
        protocol=config.ood,
        id=config.test_data,
        seed=config.seed,
        method=config.method.name,
        model=config.model.name,
        checkpoint_sha256=checkpoint,
    )
    accuracies = _accuracies(outputs["train"], outputs[ID], config.linear_probe)
    header |= {
        "train": config.train_data,
        "step": int(state.step),
        "total_steps": experiment.total_steps(config, len(data.train.images)),
        **accuracies,
        "config": config.to_dict(),
    }
    if jax.process_index() == 0:
        _write(config, workdir, data, header, rows, scores, outputs, state)
        title = f"{config.method.name} on {config.train_data}, {config.model.name}"
        console.print(results.table(rows, SHOWN, title=title))
        if accuracies:
            named = (f"{k.replace('_', ' ')} {100 * v:.2f} %" for k, v in accuracies.items())
            console.print(f"on {config.test_data}: {', '.join(named)}", highlight=False)
        console.print(f"results: {workdir / 'results.json'}, {workdir / 'results.csv'}")
        if config.report:
            console.print(f"report:  {workdir / 'report.html'}")
    if failed:
        raise InputError("results lack: " + "; ".join(failed))
    return results.read(workdir)


def _detector_rows(name, detector, train: Outputs, head, outputs, data):
    """One detector's rows, and its scores of every set."""
    fitted = detector.fit(train, val=None, head=head)
    by_set = {s: detector.score(fitted, as_outputs(outputs[s])) for s in (ID, *data.ood)}
    rows = [results.row(name, s, data.groups[s], by_set[ID], by_set[s]) for s in data.ood]
    return rows, by_set


def network_outputs(config, workdir, data, parts, mesh, variables, checkpoint):
    """The outputs of every set by name ("train", "id", then OOD sets), from cache or network."""
    mean_std = experiment.evaluation_mean_std(config, data.train)
    normalize = augment.make_normalize(*mean_std, dtype=parts.dtype)
    run = extract.make(parts.model, variables, normalize, mesh, config.eval_batch_size)
    dtype = experiment.compute_dtype(config.model.dtype)
    outputs = {}
    for name, dataset in {"train": data.train, ID: data.test, **data.ood}.items():
        path = workdir / "features" / f"{name}-{checkpoint[:12]}.npz"
        outputs[name] = extract.cached(
            path, extract.key(checkpoint, dataset, mean_std, dtype), dataset, run
        )
    return outputs


def as_outputs(arrays: extract.Arrays) -> Outputs:
    """What detectors see of a set."""
    return Outputs(arrays["features"], arrays.get("logits"), arrays.get("labels"))


def training_outputs(arrays: extract.Arrays, method: Method, method_state) -> Outputs:
    """What detectors are fitted on: labels, or the clusters of a method that finds its own.

    Clusters are numbered without gaps. Before the first clustering all images are in one.
    """
    outputs = as_outputs(arrays)
    assignment = getattr(method_state, "assignment", None)
    if method.targets == "indices" and assignment is not None:
        _, clusters = np.unique(np.asarray(assignment), return_inverse=True)
        outputs = outputs._replace(labels=clusters.astype(np.int32))
    return outputs


def _by_group(rows, means):
    """Rows with each group's mean behind its sets."""
    ordered = []
    for mean in means:
        ordered += [r for r in rows if r["group"] == mean["group"]] + [mean]
    return ordered


def _accuracies(train: extract.Arrays, test: extract.Arrays, linear_probe: bool) -> dict:
    """Every accuracy on the ID test set that can be had; {} where it has no labels."""
    if "labels" not in test or "labels" not in train:
        return {}
    found = {}
    if "logits" in test:
        found["id_accuracy"] = float(np.mean(test["logits"].argmax(axis=1) == test["labels"]))
    train, test = as_outputs(train), as_outputs(test)
    found["nearest_mean_accuracy"] = probes.nearest_mean_accuracy(train, test)
    if linear_probe:
        found["linear_probe_accuracy"] = probes.linear_probe_accuracy(train, test)
    return found


def _write(config, workdir, data, header, rows, scores, outputs, state):
    sets = {ID: data.test, **data.ood}
    shutil.rmtree(workdir / "scores", ignore_errors=True)  # those of another evaluation
    for detector, by_set in scores.items():
        for name, values in by_set.items():
            path = workdir / "scores" / detector / f"{name}.npz"
            results.save_scores(path, values, sets[name].names, sets[name].labels)
    results.write(workdir, header, rows)
    if config.report:
        _report(config, workdir, data, header, rows, scores, outputs, state)


def _report(config, workdir, data, header, rows, scores, outputs, state):
    prototypes = getattr(state.method_state, "prototypes", None)
    picture = {}
    if prototypes is not None:
        flat = np.asarray(prototypes).reshape(-1, prototypes.shape[-1])
        classes = inputs.num_classes(data.train)
        picture = {"prototypes": flat, "prototype_labels": np.arange(len(flat)) % classes}
    sets = {ID: data.test, **data.ood}
    key = "embeddings" if "embeddings" in outputs[ID] else "features"
    report.write(
        workdir,
        title=f"{config.method.name} on {config.train_data}",
        config=config.to_dict(),
        header=header,
        rows=rows,
        scores=scores,
        groups=data.groups,
        history=logbook.read(workdir),
        embeddings={s: outputs[s][key] for s in (ID, *data.ood)},
        id_labels=data.test.labels,
        class_names=data.train.class_names,
        images={s: d.images for s, d in sets.items()},
        names={s: d.names for s, d in sets.items()},
        **picture,
    )


def evaluate_run(
    workdir: str,
    *,
    detectors: str = "",
    ood: str = "",
    which: str = "",
    linear_probe: bool | None = None,
) -> dict:
    """Evaluates a finished (or stopped) run again.

    Args:
      workdir: of the run.
      detectors: instead of the config's.
      ood: instead of the config's OOD sets: a suite's name or "group/name=source,...".
      which: "last" or "best", instead of the config's.
      linear_probe: instead of the config's.

    Raises:
      InputError: no run there, or wrong choices.
    """
    console = logbook.console()
    if not workdir or not pathlib.Path(workdir).expanduser().is_dir():
        raise InputError(f"--workdir {workdir or ''} is not a folder; give that of a finished run")
    config = completed(checkpoints.recall_config(pathlib.Path(workdir).expanduser()))
    config.detectors = detectors or config.detectors
    config.ood = ood or config.ood
    config.eval_checkpoint = which or config.eval_checkpoint
    if linear_probe is not None:
        config.linear_probe = linear_probe
    if not config.ood:
        raise InputError("the run's config names no OOD sets; give some with --ood=...")
    experiment.check(config, training=False)
    path = workdirs.prepare(workdir)
    with workdirs.locked(path):
        mesh = sharding.make_mesh()
        data = experiment.load_data(config, lambda text: console.print(text, highlight=False))
        checkpoints.check_data(path, data.train.fingerprint)
        parts = experiment.build_for(config, mesh, data.train)
        state = restore(config, path, parts, mesh)
        return evaluate(config, path, data=data, parts=parts, mesh=mesh, state=state)


def restore(config, workdir, parts, mesh) -> TrainState:
    """The state the config evaluates: the last checkpoint or the best.

    Raises:
      InputError: the run has no checkpoint, or one of another shape.
    """
    store = checkpoints.Checkpoints(workdir)
    try:
        best = config.eval_checkpoint == "best"
        step = store.best_step() if best else store.latest_step()
        if step is None:
            raise InputError(f"{workdir} has no checkpoint yet; train it first")
        return store.restore(step, _abstract_state(config, parts, mesh))
    finally:
        store.close()


def _abstract_state(config, parts, mesh):
    shape = (config.image_size, config.image_size, 3)
    like = jax.eval_shape(
        lambda: create(
            jax.random.key(0), parts.model, parts.method, parts.optimizer, shape, parts.dtype
        )
    )
    place = sharding.replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), like)


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
    DETECTORS = flags.DEFINE_string("detectors", "", "Instead of the run's, e.g. mahalanobis,knn.")
    OOD = flags.DEFINE_string("ood", "", 'Instead of the run\'s: "group/name=source,...".')
    SUITE = flags.DEFINE_string("suite", "", "The same by a suite's name.")
    PROBE = flags.DEFINE_bool("linear_probe", None, "Also train a linear classifier on features.")
    WHICH = flags.DEFINE_string("checkpoint", "", '"last" or "best", instead of the run\'s.')
    cli.run(
        lambda: evaluate_run(
            WORKDIR.value,
            detectors=DETECTORS.value,
            ood=OOD.value or SUITE.value,
            which=WHICH.value,
            linear_probe=PROBE.value,
        )
    )
