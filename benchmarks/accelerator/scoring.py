"""Scoring at ImageNet's size: kNN, Mahalanobis, NegLabel, AdaNeg, and CLIP's image towers."""

import functools
import statistics
import time
import traceback
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax import clip as clips
from adapt_jax import detectors, zero_shot_detectors
from adapt_jax.clip.towers import initialize
from adapt_jax.core import neighbours
from adapt_jax.core.arrays import unit_rows
from adapt_jax.zero_shot_detectors.memory import Memory
from benchmarks import scoring_programs
from benchmarks.accelerator import turns
from benchmarks.accelerator.stages import Job

ROUNDS = 5


def scoring(job: Job) -> None:
    """Images a second of the detectors; kNN beside PyTorch's product and topk."""
    rows, queries, k, width = (2000, 64, 50, 32) if job.rehearse else (1_200_000, 2048, 1000, 512)
    labels, negatives = (10, 90) if job.rehearse else (1000, 10_000)
    bank = scoring_programs.text_bank(labels, negatives, width)
    measures = {
        "kNN": functools.partial(_knn, job, rows, queries, k, width),
        "Mahalanobis": functools.partial(
            _mahalanobis, job, max(rows // 24, 500), 10 if job.rehearse else 1000, width
        ),
    }
    for title, name, params in (
        ("NegLabel", "neglabel", {}),
        ("AdaNeg, task proxies", "adaneg", {"proxy": "task"}),
        ("AdaNeg, sample proxies", "adaneg", {"proxy": "sample"}),
    ):
        detector = zero_shot_detectors.make(name, groups=5, **params)
        measures[title] = functools.partial(_stream, job, title, detector, bank)
    _each(job, measures)


def _each(job: Job, measures: Mapping[str, Callable[[], None]]) -> None:
    """Measures all; RuntimeError at the end with the names of those that failed."""
    failed = []
    for name, measure in measures.items():
        try:
            measure()
        except Exception as e:  # one runs out of memory, the others do not
            traceback.print_exc()
            job.note("scoring", name, failed=turns.reason(e))
            failed.append(name)
    if failed:
        raise RuntimeError(f"failed: {', '.join(failed)}")


def _knn(job: Job, rows: int, queries: int, k: int, width: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((rows, width), dtype=np.float32)
    tested = rng.standard_normal((queries, width), dtype=np.float32)
    detector = detectors.make("knn", k=k)
    began = time.perf_counter()
    state = jax.block_until_ready(detector.fit(detectors.Outputs(features)))
    fitted = time.perf_counter() - began

    def seconds(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            scores = detector.score(state, detectors.Outputs(tested))
        assert np.isfinite(scores).all()
        return (time.perf_counter() - began) / count

    name = f"kNN, {rows:,} x {width}, k = {k}, {queries} at a time"
    note = functools.partial(job.note, "scoring", name)
    alone = queries / _median(lambda: seconds(1))
    note(**{"fit, s": fitted, "images/s": alone, "bank block": neighbours.BANK_BLOCK})
    arguments = {"rows": rows, "width": width, "k": k, "queries": queries, "block": 50_000}
    turns.beside("knn", arguments, seconds, 1, ROUNDS, note, queries)


def _mahalanobis(job: Job, rows: int, classes: int, width: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((rows, width), dtype=np.float32)
    labels = (np.arange(rows) % classes).astype(np.int32)
    detector = detectors.make("mahalanobis")
    began = time.perf_counter()
    state = jax.block_until_ready(detector.fit(detectors.Outputs(features, None, labels)))
    fitted = time.perf_counter() - began
    seconds = _median(lambda: detector.score(state, detectors.Outputs(features)))
    name = f"Mahalanobis, {classes} classes, {rows:,} x {width}"
    job.note("scoring", name, **{"fit, s": fitted, "images/s": rows / seconds})


def _stream(job: Job, title: str, detector, bank) -> None:
    """Steps of 256 images, already on the device, with a memory that is full."""
    rng, batch, width = np.random.default_rng(0), 256, bank.labels.shape[1]
    state = detector.init(bank)
    total = len(bank.labels) + len(bank.negatives)
    if hasattr(state, "memory"):
        shape = state.memory.images.shape
        stored = unit_rows(rng.standard_normal((total * shape[1], width), dtype=np.float32))
        full = Memory(
            jnp.asarray(stored.reshape(shape)),
            jnp.asarray(rng.random(shape[:2], dtype=np.float32)),
            jnp.full(total, shape[1], jnp.int32),
        )
        state = state._replace(memory=full)
    images = jnp.asarray(unit_rows(rng.standard_normal((batch, width), dtype=np.float32)))
    step = jax.jit(detector.step, donate_argnums=0)
    valid = jnp.ones(batch, bool)
    took = []
    for _ in range(1 + ROUNDS):
        began = time.perf_counter()
        for _ in range(10):
            scores, state = step(state, images, valid)
        assert np.isfinite(np.asarray(scores)).all()
        took.append((time.perf_counter() - began) / 10)
    seconds = statistics.median(took[1:])
    name = f"{title}, {total:,} classes, {batch} at a time"
    job.note("scoring", name, **{"ms a step": 1e3 * seconds, "images/s": batch / seconds})


def clip(job: Job) -> None:
    """Images a second of CLIP's image towers in bfloat16, beside PyTorch's transformer."""
    names = ("ViT-B/16",) if job.rehearse else ("ViT-B/16", "ViT-L/14")
    _each(job, {f"CLIP {name}": functools.partial(_tower, job, name) for name in names})


def _tower(job: Job, name: str) -> None:
    batch, count = (4, 2) if job.rehearse else (256, 10)
    chosen = _small(clips.RELEASED[name]) if job.rehearse else clips.RELEASED[name]
    tower = chosen.vision
    model = clips.model.Model(chosen, initialize.init(chosen, jax.random.key(0)), dtype="bfloat16")
    shape = (batch, tower.image_size, tower.image_size, 3)
    pixels = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))

    def seconds(count: int) -> float:
        return turns.seconds_of(lambda: model.encode_image(pixels), count)

    note = functools.partial(job.note, "scoring", f"CLIP {name}, bfloat16, {batch} at a time")
    took = [seconds(count) for _ in range(1 + ROUNDS)][1:]
    note(**{"images/s": batch / statistics.median(took)})
    arguments = {
        "rehearse": job.rehearse,
        "images": batch,
        "image_size": tower.image_size,
        "patch": tower.patch_size,
        "width": tower.width,
        "layers": tower.layers,
        "embed": chosen.embed_dim,
    }
    turns.beside("clip", arguments, seconds, count, ROUNDS, note, batch)


def _small(chosen):
    import dataclasses

    vision = dataclasses.replace(
        chosen.vision, image_size=32, width=64, layers=2, heads=1, mlp_width=128
    )
    text = dataclasses.replace(chosen.text, width=32, layers=1, heads=1, mlp_width=64, vocab_size=8)
    return dataclasses.replace(chosen, vision=vision, text=text, embed_dim=16)


def _median(run: Callable[[], object]) -> float:
    took = []
    for _ in range(1 + ROUNDS):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])
