"""Job: train a network on ID images, then evaluate it. `python -m adapt_jax.train --help`.

    python -m adapt_jax.train --config=configs/cifar100_adapt.py --workdir=runs/cifar100

The same command resumes a stopped run where its last checkpoint left off. Exit codes: 0 done,
1 training failed, 2 wrong input, 130 or 143 interrupted (saved; run the command again).
"""

import contextlib
import math

import jax
import numpy as np
from absl import flags

from adapt_jax import profiling
from adapt_jax.core.errors import TrainingFailed
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.experiment import build, checks, derived, pretrained
from adapt_jax.inference.restore import restore
from adapt_jax.runtime import cli, interrupts, processes, sharding, terminal
from adapt_jax.training import epoch_hooks, feeds, train_loop, train_state
from adapt_jax.workdir import checkpoints, folders, logbook, trackers


def train(config, workdir: str) -> dict:
    """Trains to the config's last step, resuming if `workdir` holds a run, and evaluates.

    Args:
      config: ConfigDict of `adapt_jax.config.default_config`.
      workdir: folder for checkpoints, logs and results.

    Returns:
      The results as in results.json; {} where the config names no OOD sets.

    Raises:
      InputError: anything wrong with config, data or folder, before training starts.
      TrainingFailed: a whole log interval of steps had no finite loss.
    """
    console = terminal.console()
    with contextlib.ExitStack() as held:
        with processes.together():
            checks.check_config(config)
            pretrained.check(config)
            workdir = folders.prepare(workdir)
            held.enter_context(folders.locked(workdir))
        folders.check_shared(workdir)
        held.enter_context(terminal.failures(workdir))
        return _train(config, workdir, console)


def _train(config, workdir, console) -> dict:
    with processes.together():
        checkpoints.remember_config(workdir, config.to_dict())
        data = checks.load_data(config, lambda text: console.print(text, highlight=False))
        checkpoints.check_data(workdir, derived.data_facts(config, data.train))
    processes.same("the training images", data.train.fingerprint)
    mesh = sharding.make_mesh()
    parts = build.build_for(config, mesh, data.train)
    store = checkpoints.Checkpoints(workdir)
    try:
        state = fit(config, workdir, data.train, parts, mesh, store, console)
    finally:
        store.close()
    if config.eval_checkpoint == "best":
        state = restore(config, workdir, parts, mesh)
    if not data.ood:
        console.print("no OOD sets in the config: nothing to evaluate")
        return {}
    return evaluate_job.evaluate(config, workdir, data=data, parts=parts, mesh=mesh, state=state)


def initial_state(config, parts, mesh) -> train_state.TrainState:
    """The state before the first step, replicated over the mesh."""
    shape = (config.image_size, config.image_size, 3)

    def create():
        key = jax.random.key(config.seed)
        return train_state.create(
            key, parts.model, parts.method, parts.optimizer, shape, parts.dtype
        )

    return jax.jit(create, out_shardings=sharding.replicated(mesh))()


def fit(config, workdir, train_set, parts, mesh, store, console) -> train_state.TrainState:
    """Runs the optimiser from the newest checkpoint (or the start) to the last step."""
    num_images = len(train_set.images)
    per_epoch = train_loop.steps_per_epoch(num_images, config.batch_size)
    total = derived.total_steps(config, num_images)
    state = initial_state(config, parts, mesh)
    if (newest := store.latest_step()) is not None:
        state = store.restore(newest, state)
        console.print(f"resuming at step {newest} of {total}")
    else:
        state = pretrained.start(config, parts, mesh, state, console.print)
    step = int(state.step)
    if step >= total:
        if newest is None:
            store.save(step, state, math.inf)  # an untrained network can be evaluated too
        return state

    between = epoch_hooks.make(config, parts, mesh, train_set)
    trace = profiling.Trace(
        derived.profile_range(config), workdir / "profile", terminal.printer(console)
    )
    with contextlib.ExitStack() as held:
        held.callback(trace.close)
        tracked = trackers.open_all(config, workdir, step)
        console.print(f"compiling for {sharding.described(mesh)} ...", highlight=False)
        feed = feeds.make(config, parts, mesh, train_set, state, names=trace.wanted)
        held.callback(feed.close)
        processes.wait("compiled")
        trace.watch(
            profiling.Subject(feed.program, feed.compiled, **derived.described(config, mesh))
        )
        parameters = sum(x.size for x in jax.tree.leaves(state.params))
        console.print(
            f"{config.method.name}, {config.model.name}, {parameters:,} parameters, "
            f"{sharding.described(mesh)}; {total:,} steps of {config.batch_size} images "
            f"({_per_device(config, mesh)}), {feed.described}; "
            f"compiled in {feed.compiled.seconds:.1f} s",
            highlight=False,
        )
        book = logbook.Logbook(
            workdir, total_steps=total, start=step, console=console, boards=tracked
        )
        held.callback(book.close)
        interrupted = held.enter_context(interrupts.Deferred())
        pace = logbook.Pace()
        window, losses = logbook.Window(config.batch_size), []
        while step < total:
            stops = [
                step + feed.max_steps,
                step + pace.steps(step),
                *(
                    step - step % n + n
                    for n in (config.log_every, config.checkpoint_every, per_epoch)
                ),
                total,
                *trace.boundaries(step),
            ]
            count = min(stops) - step
            state = between(state, step)
            with trace.around(step):
                state, metrics = feed.run(state, count)
            step += count
            trace.reached(step)
            window.add(metrics)
            losses.append(metrics["loss"])
            signal = processes.largest(interrupted.signal or 0)  # of any process
            ending = step == total or signal
            if step % config.log_every == 0 or ending:
                _stop_if_lost(window, step)
                book.record(step, {"epoch": step / per_epoch} | window.close())
            else:
                book.alive(step)
            if step % config.checkpoint_every == 0 or ending:
                store.save(step, state, _finite_mean(np.concatenate(losses)))
                losses = []
            if ending and step < total:  # not .signal: it may have come after the save
                store.close()
                console.print(f"interrupted at step {step}: saved; the same command resumes")
                raise SystemExit(128 + signal)
    return state


def _per_device(config, mesh) -> str:
    share, parts = config.batch_size // mesh.size, config.microbatches
    split = f" in {parts} micro-batches of {share // parts}" if parts > 1 else ""
    return f"{share} per device{split}"


def _stop_if_lost(window: logbook.Window, step: int) -> None:
    if window.all_skipped():
        raise TrainingFailed(
            f"no finite loss in the {window.steps} steps before step {step}; parameters are as "
            "they were before them. Lower optimizer.learning_rate, or check the images"
        )


def _finite_mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.inf


if __name__ == "__main__":
    CONFIG = cli.define_config()
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, logs and results.")
    cli.run(lambda: train(cli.required(CONFIG), WORKDIR.value))
