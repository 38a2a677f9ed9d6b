"""Job: train a network on ID images, then evaluate it. `python -m adapt_jax.train --help`.

    python -m adapt_jax.train --config=configs/cifar100_adapt.py --workdir=runs/cifar100

The same command resumes a stopped run where its last checkpoint left off. Exit codes: 0 done,
1 training failed, 2 wrong input, 130 or 143 interrupted (saved; run the command again).
"""

import contextlib
import math
import pathlib
from collections.abc import Collection

import jax
import numpy as np
from absl import flags
from rich.console import Console

from adapt_jax import profiling
from adapt_jax.core import generator
from adapt_jax.core.callable_module import make_callable
from adapt_jax.core.errors import TrainingFailed
from adapt_jax.data import augment
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.experiment import checks, derived, pretrained, record
from adapt_jax.experiment.record import Experiment
from adapt_jax.inference import forward
from adapt_jax.inference.restore import restore
from adapt_jax.runtime import buckets, cli, interrupts, processes, sharding, terminal
from adapt_jax.training import epoch_hooks, feeds, train_state, train_step
from adapt_jax.training.train_state import TrainState
from adapt_jax.workdir import checkpoints, folders, logbook, surroundings, trackers
from adapt_jax.workdir.checkpoints import Checkpoints

make_callable(__name__, "adapt_jax.train:train")


def train(config, workdir: str, *, given: Collection[str] | None = None) -> dict:
    """Trains to the config's last step, resuming if `workdir` holds a run, and evaluates.

    Args:
      config: ConfigDict of `adapt_jax.config.default_config`.
      workdir: folder for checkpoints, logs and results, or its address in a bucket (gs://, s3://).
      given: fields of the config that were set by hand, each of which must have an effect; by
        default fields without an effect are named in a warning, as no one can tell who set them.

    Returns:
      The results as in results.json; {} where the config names no OOD sets.

    Raises:
      InputError: anything wrong with config, data or folder, before training starts.
      TrainingFailed: a whole log interval of steps had no finite loss.
    """
    console = terminal.console()
    with contextlib.ExitStack() as held:
        with processes.together():
            checks.check_config(config, given=given)
            trackers.check(config.tracking)
            pretrained.fetch(config.model.pretrained, terminal.printer(console))
        with processes.together():
            pretrained.check(config)
            folder = folders.prepare(workdir, bucket=True)
            held.enter_context(folders.locked(folder))
        folders.check_shared(folder)
        held.enter_context(terminal.failures(folder))
        return _train(config, folder, console)


def _train(config, folder: pathlib.Path, console: Console) -> dict:
    with processes.together():
        checkpoints.remember_config(folder, config.to_dict())
        class_names = checkpoints.class_names(folder)
        data = checks.load_data(config, terminal.printer(console), class_names)
        experiment = record.make(config, data)
        checkpoints.check_data(folder, experiment.facts)
    processes.same("the training images", data.train.content_sha256)
    store = Checkpoints(folder)
    try:
        state = fit(experiment, folder, store, console)
    finally:
        store.close()
    if config.eval_checkpoint == "best":
        state = restore(experiment, folder)
    if not data.ood:
        console.print("no OOD sets in the config: nothing to evaluate")
        return {}
    results = evaluate_job.evaluate(experiment, folder, state)
    console.print(
        f"next:    python -m adapt_jax.predict --workdir={folder} IMAGE|DIR... scores your images\n"
        f"         python -m adapt_jax.doctor --workdir={folder} looks for mistakes in the run",
        highlight=False,
        soft_wrap=True,
    )
    return results


def initial_state(experiment: Experiment) -> TrainState:
    """The state before the first step, replicated over the mesh."""

    def create():
        key = generator.key(experiment.config.seed)
        return train_state.create(key, experiment.parts, experiment.image_shape)

    return jax.jit(create, out_shardings=sharding.replicated(experiment.mesh))()


def fit(
    experiment: Experiment, folder: pathlib.Path, store: Checkpoints, console: Console
) -> TrainState:
    """Runs the optimiser from the newest checkpoint (or the start) to the last step.

    Args:
      experiment: the run, with its training images.
      folder: folder of the run, for logs and profiles.
      store: checkpoints of the run.
      console: console that shows the progress.

    Returns:
      The state after the last step.

    Raises:
      TrainingFailed: a whole log interval of steps had no finite loss.
      SystemExit: a signal ended the run; it is saved, and the code is 128 plus the signal's number.
    """
    plan = experiment.plan
    state = initial_state(experiment)
    resumed = store.restore("last", state)
    if resumed is not None:
        state = resumed
        console.print(f"resuming at step {int(state.step)} of {plan.total_steps}")
    else:
        state = pretrained.start(experiment, state, console.print)
    step = int(state.step)
    if said := surroundings.remember(folder, step):
        console.print(said, highlight=False)
    if step >= plan.total_steps:
        if resumed is None:
            store.save(step, state, math.inf)  # an untrained network can be evaluated too
        return state

    with contextlib.ExitStack() as held:
        trace = profiling.Trace(
            derived.profile_range(experiment.config), folder / "profile", terminal.printer(console)
        )
        held.callback(trace.close)
        # Trackers first: logging in to one of them may fail, and compiling takes long.
        settings = experiment.config.to_dict()
        opened = trackers.open_all(experiment.config.tracking, settings, folder, step)
        hook = epoch_hook(experiment)
        feed = _compiled_feed(experiment, state, trace, console)
        held.callback(feed.close)
        monitor = Monitor(experiment, folder, step, trace, opened, console)
        held.callback(monitor.close)
        interrupted = held.enter_context(interrupts.Deferred())
        losses = []
        while step < plan.total_steps:
            count = plan.next_stop(step, [step + feed.max_steps, *monitor.limits(step)]) - step
            state = hook(state, step)
            with trace.around(step):
                state, metrics = feed.run(state, count)
            step += count
            losses.append(metrics["loss"])
            # Every process stops if one of them was told to, or they would wait for each other.
            signal = processes.largest(interrupted.signal or 0)
            ending = step == plan.total_steps or bool(signal)
            monitor.after(step, metrics, record=step % plan.log_every == 0 or ending)
            if step % plan.checkpoint_every == 0 or ending:
                if processes.is_main():
                    buckets.push(folder)  # the records of the steps before the state after them
                store.save(step, state, _finite_mean(np.concatenate(losses)))
                losses = []
            if ending and step < plan.total_steps:  # not .signal: it may have come after the save
                store.close()
                console.print(f"interrupted at step {step}: saved; the same command resumes")
                raise SystemExit(128 + signal)
    return state


class Monitor:
    """What is seen of a run while it trains: records, progress, the trace and the pace."""

    def __init__(
        self,
        experiment: Experiment,
        folder: pathlib.Path,
        step: int,
        trace: profiling.Trace,
        opened: list[trackers.Tracker],
        console: Console,
    ):
        """Opens the logbook at `step`; `opened` are the run's trackers."""
        plan = experiment.plan
        self._steps_per_epoch, self._trace = plan.steps_per_epoch, trace
        self._book = logbook.Logbook(
            folder, total_steps=plan.total_steps, start=step, console=console, trackers=opened
        )
        self._pace, self._window = logbook.Pace(), logbook.Window(plan.batch_size)

    def limits(self, step: int) -> list[int]:
        """Steps to stop at: where the trace begins or ends, and before the console is silent."""
        return [step + self._pace.steps(step), *self._trace.boundaries(step)]

    def after(self, step: int, metrics: dict[str, np.ndarray], *, record: bool) -> None:
        """Takes the metrics of the steps up to `step`; writes a record, or a sign of life.

        Raises:
          TrainingFailed: no step since the last record had a finite loss.
        """
        self._trace.reached(step)
        self._window.add(metrics)
        if not record:
            self._book.alive(step)
            return
        if self._window.all_skipped():
            raise TrainingFailed(
                f"no finite loss in the {self._window.steps} steps before step {step}; parameters "
                "are as they were before them. Lower optimizer.learning_rate, or check the images"
            )
        self._book.record(step, {"epoch": step / self._steps_per_epoch} | self._window.close())

    def close(self) -> None:
        """Flushes the logbook and the trackers."""
        self._book.close()


def epoch_hook(experiment: Experiment) -> epoch_hooks.EpochHook:
    """What the method does with the whole training set between steps."""
    parts, plan, train_set = experiment.parts, experiment.plan, experiment.data.train
    normalize = augment.make_normalize(*experiment.train_mean_std, dtype=parts.dtype)
    # Not eval_batch_size, which may change between a run and its resumption.
    outputs_of = forward.make_for_any(
        parts.model, normalize, experiment.mesh, plan.batch_size * plan.views
    )
    return epoch_hooks.make(
        parts.method,
        plan,
        experiment.mesh,
        train_step.loss_labels(parts.method, train_set.labels, plan.num_images),
        lambda variables: outputs_of(variables, train_set.images)[parts.method.reads],
    )


def _compiled_feed(
    experiment: Experiment, state: TrainState, trace: profiling.Trace, console: Console
) -> feeds.Feed:
    """The feed, compiled on every process; says what will run."""
    config, mesh, plan = experiment.config, experiment.mesh, experiment.plan
    devices = sharding.described(mesh)
    console.print(f"compiling for {devices} ...", highlight=False)
    feed = feeds.make(
        experiment.parts,
        plan,
        mesh,
        experiment.data.train,
        state,
        derived.host_input(config),
        keep_names=trace.wanted,
    )
    processes.wait("compiled")
    trace.watch(
        profiling.Subject(feed.program, feed.compiled, **derived.profile_subject(config, mesh))
    )
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    share = plan.batch_size // mesh.size
    split = f" in {plan.microbatches} micro-batches of {share // plan.microbatches}"
    console.print(
        f"{config.method.name}, {config.model.name}, {parameters:,} parameters, {devices}; "
        f"{plan.total_steps:,} steps of {plan.batch_size} images "
        f"({share} per device{split if plan.microbatches > 1 else ''}), {feed.described}; "
        f"compiled in {feed.compiled.seconds:.1f} s",
        highlight=False,
    )
    return feed


def _finite_mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.inf


if __name__ == "__main__":
    CONFIG = cli.define_config()
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, logs and results.")
    cli.run(lambda: train(cli.required(CONFIG), WORKDIR.value, given=cli.given()))
