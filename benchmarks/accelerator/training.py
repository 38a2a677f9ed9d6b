"""Training speed: milliseconds a step, MFU, memory and phases, and PyTorch's step beside it."""

import pathlib
import statistics
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from adapt_jax import profiling
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.data import sources
from adapt_jax.experiment import build, derived
from adapt_jax.profiling import device_peaks, hlo, summary
from adapt_jax.runtime import compilation, config_files, sharding
from adapt_jax.training import feeds, sharded, train_state
from benchmarks.accelerator import turns
from benchmarks.accelerator.stages import Job

ROOT = pathlib.Path(__file__).parents[2]


class Case(NamedTuple):
    """A training step to measure.

    config: file in configs/. images, classes: of the training set, random pixels. steps: of one
    dispatch. peer: whether PyTorch's step is measured, too. host: whether images are files.
    """

    config: str
    images: int
    classes: int
    steps: int
    peer: bool = False
    host: bool = False


CASES = {
    "adapt_resnet18": Case("cifar10_adapt.py", 50_000, 10, 20, peer=True),
    "adapt_resnet18_deterministic": Case("cifar10_adapt.py", 50_000, 10, 20),
    "adapt_resnet34": Case("cifar100_adapt.py", 50_000, 100, 20),
    "adapt_resnet34_pytorch": Case("cifar100_adapt.py", 50_000, 100, 20, peer=True),
    "reweightood_resnet18": Case("cifar10_reweightood.py", 50_000, 10, 20),
    "imagenet_resnet50": Case("imagenet_reweightood.py", 2048, 1000, 4),
    "imagenet_resnet50_host": Case("imagenet_reweightood.py", 4096, 1000, 4, host=True),
}


def speed(job: Job, name: str) -> None:
    """Measures one of `CASES`."""
    case, rounds = CASES[name], 5
    config = config_files.load_config(str(ROOT / "configs" / case.config))
    config.log_every = config.checkpoint_every = case.steps
    config.model.pretrained = ""
    if job.rehearse:
        case, rounds = case._replace(images=64, classes=4, steps=2), 2
        _tiny(config)
    run = (_FromFiles if case.host else _Run)(job, config, case)
    try:
        _measure(job, name, run, rounds)
    finally:
        run.close()


def _measure(job: Job, name: str, run: "_Run | _FromFiles", rounds: int) -> None:
    """What is surest first; everything is noted as soon as it is known."""
    case, seconds = run.case, []
    for turn in range(1 + rounds):
        took = run.seconds(case.steps)
        if turn:
            seconds.append(took)
            job.note("training", name, **_speed(run, seconds))
    _try(job, "training", name, lambda: _work(run, statistics.median(seconds)))
    # Not before: both would choose their kernels by timing them on a device that is busy.
    if case.peer:

        def note(**values):
            job.note("pytorch", name, **values)

        arguments = _peer(job, run.config, case)
        if facts := turns.beside("train", arguments, run.seconds, case.steps, rounds, note):
            _try(job, "pytorch", name, lambda: run.difference(facts))
    _try(job, "phases", name, lambda: _phases(job, name, run))


def _try(job: Job, table: str, name: str, values: Callable[[], dict[str, Any]]) -> None:
    """Notes values, or why there are none: profilers need more of a machine than programs do."""
    try:
        found = values()
    except Exception as e:
        traceback.print_exc()
        found = {"failed": turns.reason(e)}
    job.note(table, name, **found)


def _tiny(config) -> None:
    imagenet = config.model.stem == "imagenet"  # and layer4, which trains, has to be there
    config.batch_size, config.model.width, config.model.dtype = 8, 4, "float32"
    config.model.blocks = (1, 1, 1, 1) if imagenet else (1, 1, 0, 0)
    config.image_size = 32 if imagenet else 8


class _Run:
    """The loop of `adapt_jax.train` over random images on the device."""

    def __init__(self, job: Job, config, case: Case):
        mesh = sharding.make_mesh(jax.devices()[:1])
        shape = (case.images, config.image_size, config.image_size, 3)
        self.config, self.case = config, case
        self.parts = build.make_parts(
            config, mesh=mesh, num_classes=case.classes, num_images=case.images, mean_std=None
        )
        self.state = train_state.create(jax.random.key(0), self.parts, shape[1:])
        self.state = sharding.replicate(mesh, self.state)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, shape, dtype=np.uint8)
        labels = (np.arange(case.images) % case.classes).astype(np.int32)
        self._given = sharding.replicate(mesh, (images, labels))
        step = sharded.sharded_step(self.parts, mesh, config.microbatches)
        loop = sharded.sharded_loop(step, derived.plan_of(config, case.images), mesh, case.steps)
        lowered = loop.lower(self.state, *self._given, np.int32(1))
        self.program, self.timing = compilation.timed(lowered, names=True)

    def seconds(self, count: int) -> float:
        """Of each of `count` steps in one dispatch."""
        began = time.perf_counter()
        self.state, metrics = self.program(self.state, *self._given, np.int32(count))
        loss = np.asarray(metrics["loss"])[:count]
        found = (time.perf_counter() - began) / count
        if not np.isfinite(loss).all():
            raise RuntimeError(f"the loss is not finite: {loss}")
        return found

    def more(self) -> dict[str, float]:
        """Nothing else is known."""
        return {}

    def close(self) -> None:
        """Nothing is open."""

    def difference(self, facts: dict[str, Any]) -> dict[str, float]:
        """Our loss of the embeddings, labels and prototypes in the peer's file, less the peer's."""
        with np.load(facts["file"]) as given:
            state = self.parts.method.init(jax.random.key(0))
            if "prototypes" in given:
                state = state._replace(prototypes=given["prototypes"])
            value, _ = self.parts.method.loss(
                l2_normalize(given["embeddings"]), given["labels"], state
            )
        return {"loss_difference": abs(facts["loss"] - float(value))}


def _speed(run: "_Run | _FromFiles", seconds: list[float]) -> dict[str, Any]:
    """The row of steps that took `seconds`."""
    middle, config, timing = statistics.median(seconds), run.config, run.timing
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "images x views": f"{config.batch_size} x {config.views}",
        "type": derived.compute_dtype(config.model.dtype),
        "ms a step": 1e3 * middle,
        "least": 1e3 * min(seconds),
        "most": 1e3 * max(seconds),
        "images/s": config.batch_size / middle,
        "compiled in, s": f"{timing.seconds:.3g}{' (from the cache)' if timing.cached else ''}",
        "peak memory, GiB": memory / 2**30 if memory else "",
        **run.more(),
    }


def _work(run: "_Run | _FromFiles", seconds: float) -> dict[str, Any]:
    """FLOPs of a step, which takes `seconds`, and their share of the device's peak."""
    flops = hlo.matrix_flops(hlo.parse(run.program.as_text()))[1]
    dtype = derived.compute_dtype(run.config.model.dtype)
    peak = device_peaks.operations(jax.devices()[0].device_kind, dtype)[0]
    mfu = 100 * flops / seconds / peak if peak else "unknown peak"
    return {"TFLOP a step": flops / 1e12, "MFU, %": mfu}


def _phases(job: Job, name: str, run: "_Run | _FromFiles") -> dict[str, Any]:
    """Traces some steps: the row of their phases."""
    count, folder = run.case.steps, job.scratch / "profile"
    jax.profiler.start_trace(str(folder))
    seconds = run.seconds(count) * count
    jax.profiler.stop_trace()
    dtype = derived.compute_dtype(run.config.model.dtype)
    about = {"what": name, "devices": "", "dtype": dtype, "images": run.config.batch_size}
    subject = profiling.Subject(run.program, run.timing, **about)
    page = summary.write(summary.Recording(folder, "step", (0, count), seconds, 0, 0.0), subject)
    if not page["ops"]:
        return {"failed": "the trace names no operation of the program"}
    total = sum(page["phases"].values())
    shares = {phase: f"{100 * s / total:.1f} %" for phase, s in page["phases"].items()}
    return {**shares, "busy": page["busy"], "ms a step, traced": 1e3 * page["traced_mean"]}


def _peer(job: Job, config, case: Case) -> dict[str, Any]:
    """What the peer is told of the step."""
    rate, usual = config.optimizer, {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
    return {
        "rehearse": job.rehearse,
        "file": str(job.scratch / "embeddings.npz"),
        "blocks": tuple(config.model.blocks) or usual[config.model.name],
        "width": config.model.width,
        "classes": case.classes,
        "images": config.batch_size * config.views,
        "size": config.image_size,
        "rate": [rate.learning_rate, rate.momentum, rate.weight_decay, bool(rate.nesterov)],
        "params": config.method.params.to_dict(),
    }


class _FromFiles:
    """The same step, from JPEGs that worker processes decode and crop."""

    def __init__(self, job: Job, config, case: Case):
        root = job.scratch / "images"
        _make_jpegs(root, 64 if job.rehearse else 1024, config.image_size)
        config.input, config.prefetch, config.total_steps = "host", 2, 1000
        train_set = sources.load(f"folder:{root}", config.image_size, at_most=0)
        mesh = sharding.make_mesh(jax.devices()[:1])
        count, side = len(train_set.images), config.image_size
        parts = build.make_parts(
            config, mesh=mesh, num_classes=2, num_images=count, mean_std=None, cropped=True
        )
        self.config, self.case, self._waits = config, case, []
        state = train_state.create(jax.random.key(0), parts, (side, side, 3))
        self._state = sharding.replicate(mesh, state)
        given = derived.plan_of(config, count), mesh, train_set, self._state
        self._feed = feeds.make(parts, *given, derived.host_input(config), keep_names=True)
        self.program, self.timing = self._feed.program, self._feed.compiled

    def seconds(self, count: int) -> float:
        """Of each of `count` steps, each of them a dispatch."""
        began = time.perf_counter()
        self._state, metrics = self._feed.run(self._state, count)
        self._waits.append(float(metrics["input_wait"].mean()))
        return (time.perf_counter() - began) / count

    def more(self) -> dict[str, float]:
        """The time without images, but for the first call's."""
        return {"waiting for images, ms": 1e3 * statistics.median(self._waits[1:])}

    def close(self) -> None:
        """Ends the workers."""
        self._feed.close()


def _make_jpegs(root: pathlib.Path, count: int, side: int) -> None:
    """Two classes of JPEGs, about 500 x 375 where training is at 224, no two alike."""
    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        (root / kind).mkdir(parents=True)
    coarse = rng.integers(0, 256, (8, 24, 32, 3), dtype=np.uint8)
    for i in range(count):
        size = (round(side * rng.uniform(2.0, 2.4)), round(side * rng.uniform(1.5, 1.8)))
        smooth = Image.fromarray(coarse[i % 8]).resize(size, Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth, np.int16) + rng.integers(-9, 10, (size[1], size[0], 1))
        image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        image.save(root / "ab"[i % 2] / f"{i:05}.jpg", quality=90)
