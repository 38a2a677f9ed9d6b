"""Job: zero-shot OOD detection with CLIP: words and images -> embeddings -> detectors -> results.

`python -m adapt_jax.zero_shot --help` says what it reads and writes.
"""

import contextlib
import pathlib
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from adapt_jax import profiling
from adapt_jax.core import replacing
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import suites
from adapt_jax.data.set_names import ID
from adapt_jax.inference import zero_shot_files
from adapt_jax.inference.zero_shot_files import NOISE, Text
from adapt_jax.report import publish
from adapt_jax.results.evaluation import Evaluation
from adapt_jax.runtime import processes, sharding, terminal
from adapt_jax.workdir import folders
from adapt_jax.zero_shot import (
    embedding,
    feature_files,
    image_features,
    plan,
    predictions,
    scoring,
    sweeps,
    variants,
)
from adapt_jax.zero_shot import proxies as proxy_picture
from adapt_jax.zero_shot.image_features import ImageSet
from adapt_jax.zero_shot.plan import Sweep
from adapt_jax.zero_shot.scoring import Task
from adapt_jax.zero_shot.sweeps import Variant


class Sweeping(NamedTuple):
    """A sweep: what was asked for, what every value changes, and the embeddings of a change."""

    asked: Sweep
    changes: list[variants.Changed]
    task_of: Callable[[variants.Changed], Task]


class Extras(NamedTuple):
    """What is made beside the results: a sweep, and the picture of a detector's proxies."""

    sweep: Sweeping | None
    pictured: Spec | None


def zero_shot(
    config,
    workdir: str,
    *,
    given: Collection[str] = (),
    sweep: Sweep | None = None,
    proxies: bool = False,
) -> dict:
    """Runs a config from words and images to results.

    Args:
      config: config with the fields of `zero_shot.default_config`.
      workdir: folder for all files; results of an earlier run in it are used again.
      given: fields of the config that were set by hand, each of which must have an effect.
      sweep: values of a field that are compared in a table of their own.
      proxies: whether the picture of the first detector's proxies is made that has some.

    Returns:
      What results.json holds.

    Raises:
      InputError: a mistake in the config, weights, words or images that are not there; as far as
        can be, before any long work.
    """
    console = terminal.console()
    printer = terminal.printer(console)
    with contextlib.ExitStack() as held:
        with processes.together():
            settings, wanted = plan.scoring(config), plan.embedding(config, printer)
            plan.refuse_unused(given, plan.unused(config), settings)
            changes = variants.of(config, sweep, elsewhere=False)
            pictured = proxy_picture.spec_of(settings.specs) if proxies else None
            path = _prepare(workdir, held)
        report_progress = _begin(path, console, held)
        with processes.together():
            ready = embedding.prepare(wanted, settings.specs, report_progress, printer)
            console.print(ready.size(), highlight=False)
        encode = ready.encoder
        lists = suites.names_sha256({k: s.names for k, s in ready.opened.items()})
        processes.same("the CLIP weights", encode.sha256)
        processes.same("the images", lists)
        profiled = profiling.calls(
            settings.profiled,
            path / "profile",
            printer,
            unit="batch",
            what=f"zero-shot: images through CLIP, {wanted.clip.path}",
            devices=sharding.described(encode.mesh),
            dtype=wanted.clip.dtype,
            images=wanted.image_batch_size,
        )
        try:
            with profiled as profile:
                embedded = embedding.embed(ready, wanted, settings.specs, path, profile)
        except InputError as e:
            processes.leave_alone(e)
            raise
        facts = {
            "id": wanted.suite.id_test.source,
            "model": wanted.clip.path,
            "checkpoint_sha256": encode.sha256,
            "clip": encode.model.source,
            **{name: getattr(encode.model, name) for name in ("logit_scale", "logit_bias")},
            "preprocess": {k: str(v) for k, v in ready.transform.keywords.items()},
            "prompts": ready.words.about_prompts(),
            "corpus": ready.words.about(),
            "lists_sha256": lists,
            "label_rules": ready.rules,
            "unreadable_images": {k: s.skipped for k, s in ready.opened.items() if s.skipped},
        }
        task = embedded.task(ready.groups, settings.stream)
        record = _record(settings, facts, ready.groups, embedded.kept) | {
            "clip": wanted.clip.located()._asdict(),
            "preprocess": ready.transform.keywords,
            "image_batch_size": wanted.image_batch_size,
        }

        def task_of(change: variants.Changed) -> Task:
            if change.embedding is None:
                return task._replace(settings=change.stream)
            return embedding.again(change, ready, wanted, path, report_progress)

        extras = Extras(sweep and Sweeping(sweep, changes, task_of), pictured)
        return _finish(
            settings, path, task, embedded.text, facts, record, console, report_progress, extras
        )


def from_features(
    config,
    folder: str,
    workdir: str,
    *,
    given: Collection[str] = (),
    sweep: Sweep | None = None,
    proxies: bool = False,
) -> dict:
    """The same for embeddings that were made elsewhere.

    Args:
      config: config, of which only the detectors, the stream and the outputs are used.
      folder: folder of embeddings, see `zero_shot.feature_files`.
      workdir: folder that results are written to.
      given: fields of the config that were set by hand, each of which must have an effect.
      sweep: values of a field that are compared in a table of their own.
      proxies: whether the picture of the first detector's proxies is made that has some.

    Raises:
      InputError: a mistake in the config, or a file that is missing, damaged or does not fit.
    """
    console = terminal.console()
    with contextlib.ExitStack() as held:
        with processes.together():
            settings = plan.scoring(config)
            plan.refuse_unused(given, plan.ELSEWHERE, settings)
            changes = variants.of(config, sweep, elsewhere=True)
            pictured = proxy_picture.spec_of(settings.specs) if proxies else None
            loaded = feature_files.load(folder, full_spectrum=config.full_spectrum)
            text, sets, groups, noise, label_rules = loaded
            scoring.check(
                settings.specs,
                groups,
                labels=len(text.bank.labels),
                negatives=len(text.bank.negatives),
                noise=noise is not None,
            )
            path = _prepare(workdir, held)
        for name, embedding_set in sets.items():
            count, width = embedding_set.embeddings.shape
            rule = f", {label_rules[name]}" if name in label_rules else ""
            terminal.printer(console)(f"{name}: {count:,} x {width}{rule}")
        report_progress = _begin(path, console, held)
        sha256 = loaded.sha256()
        processes.same("the embeddings", sha256)
        facts = {
            "id": ID,
            "model": str(folder),
            "checkpoint_sha256": sha256,
            "from_features": str(folder),
            "label_rules": label_rules,
        }
        task = Task(text.bank, sets, groups, settings.stream, embedding.rows(noise))
        wanted = {ID: sets[ID]} if noise is None else {ID: sets[ID], NOISE: noise}
        kept = {
            name: image_features.kept(name, image_set, path) for name, image_set in wanted.items()
        }
        record = _record(settings, facts, groups, kept) | {"clip": None}
        if processes.is_main():
            zero_shot_files.save_text(path, text)
        with profiling.calls(
            settings.profiled,
            path / "profile",
            terminal.printer(console),
            unit="step",
            what=f"zero-shot: streams of {folder}, {config.detectors}",
            devices=sharding.described(sharding.make_mesh()),
            dtype="float32",
            images=settings.stream.batch_size,
        ) as profile:
            settings = settings._replace(config={**settings.config, "ood": loaded.ood()})
            made = sweep and Sweeping(sweep, changes, lambda c: task._replace(settings=c.stream))
            extras = Extras(made, pictured)
            return _finish(
                settings, path, task, text, facts, record, console, report_progress, extras, profile
            )


def _prepare(workdir: str, held: contextlib.ExitStack) -> pathlib.Path:
    """The folder, locked for as long as `held` is."""
    path = folders.prepare(workdir)
    if (path / "config.json").exists():
        raise InputError(f"{path} holds a training run; give zero_shot a folder of its own")
    held.enter_context(folders.locked(path))
    if processes.is_main():
        (path / zero_shot_files.RECORD).unlink(missing_ok=True)  # until this run has finished
    return path


def _begin(path: pathlib.Path, console, held: contextlib.ExitStack) -> Callable[[str], None]:
    """The function that shows the progress of a job whose processes see one folder."""
    folders.check_shared(path)
    held.enter_context(terminal.failures(path))
    return held.enter_context(terminal.doing(console))


def _record(
    settings: plan.Scoring, facts: Mapping, groups: Mapping[str, str], kept: Mapping[str, ImageSet]
) -> dict:
    """What `zero_shot_files.read` returns of this run, but for what is about images."""
    return {
        "checkpoint_sha256": facts["checkpoint_sha256"],
        "id": facts["id"],
        "groups": dict(groups),
        "detectors": settings.config["detectors"],
        "batch_size": settings.stream.batch_size,
        "embeddings": {name: image_set.file for name, image_set in kept.items()},
    }


def _finish(
    settings: plan.Scoring,
    path: pathlib.Path,
    task: Task,
    text: Text,
    facts: Mapping,
    record: Mapping,
    console,
    report_progress,
    extras: Extras,
    profile=None,
) -> dict:
    """Scores the sets and writes everything; returns what results.json holds."""
    task = scoring.mixed(task)
    scored = scoring.run(
        settings.specs,
        task,
        resamples=settings.resamples,
        report_progress=report_progress,
        profile=profile,
    )
    report_progress("classes")
    predicted = {
        name: scoring.classify(task.bank.labels, embedding_set.embeddings)
        for name, embedding_set in task.sets.items()
    }
    report_progress("results")
    if processes.is_main():
        with replacing.whole_folder(path / "predictions") as folder:
            for name, image_set in task.sets.items():
                predictions.write(folder / f"{name}.csv", image_set, text, *predicted[name])
        files = (zero_shot_files.TEXT, *record["embeddings"].values())
        zero_shot_files.write(path, record, files)
    evaluation = Evaluation(
        title=f"zero-shot with {pathlib.PurePath(facts['model']).name}",
        config=settings.config,
        facts={
            "method": "zero_shot",
            **facts,
            "labels": len(task.bank.labels),
            "negatives": len(task.bank.negatives),
            **predictions.accuracy(task, predicted),
        },
        scored=scored,
        groups=task.groups,
        sets=task.sets,
        vectors={name: embedding_set.embeddings for name, embedding_set in task.sets.items()},
        class_names=text.class_names,
        images_of=task.images_of,
    )
    content = publish.write(path, evaluation, console)
    if extras.pictured is not None:
        proxy_picture.write(path, extras.pictured, task, report_progress, console)
    if (sweep := extras.sweep) is not None:
        made = [Variant(c.value, c.specs, sweep.task_of(c)) for c in sweep.changes]
        rows = sweeps.run(made, sweep.asked.seeds, report_progress)
        if processes.is_main():
            sweeps.write(path, rows, sweep.asked, content["protocol"], console)
    return content
