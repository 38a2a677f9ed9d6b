"""Training speed: milliseconds a step, MFU, memory and phases, and PyTorch's step beside it."""

import importlib.util
import pathlib
import statistics
import time
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from adapt_jax import profiling
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.data import sources
from adapt_jax.experiment import build, derived
from adapt_jax.profiling import summary
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
    if case.host:
        return _from_files(job, name, config, case)
    run = _Run(config, case)
    seconds = [run.seconds(case.steps) for _ in range(1 + rounds)][1:]
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    peak = {"peak memory, GiB": memory / 2**30}
    _note(job, name, config, seconds, run.timing.seconds, **peak)
    _phases(job, name, run)
    # Not before: both would choose their kernels by timing them on a device that is busy.
    if case.peer and (peer := _peer(job, config, case)):
        peer.wait()
        ours, theirs = turns.in_turns(run.seconds, peer, case.steps, rounds)
        difference = abs(peer.facts["loss"] - run.loss(peer.facts["file"]))
        row = {**turns.row(ours, theirs), "loss_difference": difference, "how": peer.facts["how"]}
        job.note("pytorch", name, **row)
        peer.close()


def _tiny(config) -> None:
    imagenet = config.model.stem == "imagenet"  # and layer4, which trains, has to be there
    config.batch_size, config.model.width, config.model.dtype = 8, 4, "float32"
    config.model.blocks = (1, 1, 1, 1) if imagenet else (1, 1, 0, 0)
    config.image_size = 32 if imagenet else 8


class _Run:
    """The loop of `adapt_jax.train` over random images on the device."""

    def __init__(self, config, case: Case):
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

    def loss(self, file: str) -> float:
        """Our loss of the embeddings, labels and prototypes in a file of the peer's."""
        with np.load(file) as given:
            state = self.parts.method.init(jax.random.key(0))
            if "prototypes" in given:
                state = state._replace(prototypes=given["prototypes"])
            value, _ = self.parts.method.loss(
                l2_normalize(given["embeddings"]), given["labels"], state
            )
        return float(value)


def _note(job: Job, name: str, config, seconds: list[float], compiled: float, **more) -> None:
    """One row of the table: of steps that took `seconds`, and `more` that is known."""
    middle = statistics.median(seconds)
    job.note(
        "training",
        name,
        **{
            "images x views": f"{config.batch_size} x {config.views}",
            "type": derived.compute_dtype(config.model.dtype),
            "ms a step": 1e3 * middle,
            "least": 1e3 * min(seconds),
            "most": 1e3 * max(seconds),
            "images/s": config.batch_size / middle,
            "compiled in, s": compiled,
            **more,
        },
    )


def _phases(job: Job, name: str, run: _Run) -> None:
    """Traces a dispatch; its page has the FLOPs as well."""
    count, folder = run.case.steps, job.scratch / "profile"
    jax.profiler.start_trace(str(folder))
    seconds = run.seconds(count) * count
    jax.profiler.stop_trace()
    untraced = sum(run.seconds(count) * count for _ in range(3))
    dtype = derived.compute_dtype(run.config.model.dtype)
    about = {"what": name, "devices": "", "dtype": dtype, "images": run.config.batch_size}
    subject = profiling.Subject(run.program, run.timing, **about)
    recording = summary.Recording(folder, "step", (0, count), seconds, 3 * count, untraced)
    page = summary.write(recording, subject)
    total = sum(page["phases"].values()) or 1.0
    shares = {phase: f"{100 * s / total:.1f} %" for phase, s in page["phases"].items()}
    job.note("phases", name, **shares, busy=page["busy"])
    mfu = 100 * page["mfu"] if page["mfu"] else "unknown peak"
    job.note("training", name, **{"TFLOP a step": page["flops"] / 1e12, "MFU, %": mfu})


def _peer(job: Job, config, case: Case) -> turns.Peer | None:
    if importlib.util.find_spec("torch") is None:
        job.note("pytorch", config.model.name, how="PyTorch is not installed")
        return None
    rate, usual = config.optimizer, {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
    arguments = {
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
    return turns.Peer("train", arguments)


def _from_files(job: Job, name: str, config, case: Case) -> None:
    """The same step, from JPEGs that worker processes decode and crop."""
    root = job.scratch / "images"
    _make_jpegs(root, 64 if job.rehearse else 1024, config.image_size)
    config.input, config.prefetch = "host", 2
    train_set = sources.load(f"folder:{root}", config.image_size, at_most=0)
    mesh = sharding.make_mesh(jax.devices()[:1])
    count = len(train_set.images)
    parts = build.make_parts(
        config, mesh=mesh, num_classes=2, num_images=count, mean_std=None, cropped=True
    )
    shape = (config.image_size, config.image_size, 3)
    state = sharding.replicate(mesh, train_state.create(jax.random.key(0), parts, shape))
    config.total_steps = 1000
    plan = derived.plan_of(config, count)
    feed = feeds.make(parts, plan, mesh, train_set, state, derived.host_input(config))
    try:
        took, waits = [], []
        for _ in range(3 if job.rehearse else 7):  # dispatches of one step
            began = time.perf_counter()
            state, metrics = feed.run(state, 2)
            took.append((time.perf_counter() - began) / 2)
            waits.append(float(metrics["input_wait"].sum()) / 2)
    finally:
        feed.close()
    waiting = {"waiting for images, ms": 1e3 * statistics.median(waits[1:])}
    _note(job, name, config, took[1:], feed.compiled.seconds, **waiting)


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
