"""Training images that worker processes decode while the network trains."""

import collections
import queue
import threading
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from adapt_jax.core.errors import InputError, TrainingFailed
from adapt_jax.data.augment.host_crops import Crops
from adapt_jax.data.workers.pool import CHUNK, Workers, default_count
from adapt_jax.data.workers.process import Item
from adapt_jax.runtime import compilation, processes, sharding
from adapt_jax.training import train_loop
from adapt_jax.training.plan import Plan
from adapt_jax.training.sharded import Metrics
from adapt_jax.training.train_state import TrainState
from adapt_jax.training.train_step import Step

DISPATCHES = 8  # steps between two looks at signals, where each step is a dispatch of its own
_GLANCE = 0.002  # seconds between two looks at whether the devices have run dry


class HostInput(NamedTuple):
    """How the host reads training images.

    workers: worker processes that decode; None for one per core. prefetch: batches read ahead.
    crop_scale: the smallest and largest share of an image's area that a random crop has.
    """

    workers: int | None
    prefetch: int
    crop_scale: tuple[float, float]


class _Batch(NamedTuple):
    """What the step takes: images (B, V, S, S, 3), labels (B,), split over the devices."""

    images: jax.Array
    labels: jax.Array


class HostFeed:
    """Workers decode and crop this process's share of each batch, some batches ahead.

    A thread puts batches on the devices, one more than is in use. Metrics have `input_wait`: the
    seconds before each step in which the devices had nothing to do for want of a batch.
    """

    def __init__(
        self,
        step: Step,
        plan: Plan,
        mesh,
        images,
        labels,
        state: TrainState,
        host_input: HostInput,
        *,
        keep_names: bool = False,
    ):
        """Starts reading at the state's step, and compiles meanwhile; see `feeds.make`."""
        self._plan, self._images, self._labels = plan, images, labels
        self._mesh, self._rows = mesh, sharding.local_rows(mesh, plan.batch_size)
        self._steps = range(int(state.step), plan.total_steps)
        self._key: tuple[Any, Any]
        self._key = np.asarray(jax.random.key_data(state.key)), jax.random.key_impl(state.key)
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int32))
        self.max_steps = min(DISPATCHES, plan.longest_dispatch)

        crops = Crops(
            images.shape[1],
            plan.views,
            host_input.crop_scale,
            (int(self._key[0][-2]), int(self._key[0][-1])),
        )
        count = default_count() if host_input.workers is None else host_input.workers
        self._workers = Workers(count, crops, host_input.prefetch * len(self._rows))
        what = {0: "threads", 1: "1 worker"}.get(count, f"{count} workers")
        self.described = f"images read by {what}, {host_input.prefetch} batches ahead"
        self._slots = host_input.prefetch
        self._ready: queue.Queue[_Batch | Exception] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read, name="input", daemon=True)
        self._reader.start()
        try:
            lowered = self._lowered(state, step)
            self.program, self.compiled = compilation.timed(lowered, names=keep_names)
        except BaseException:
            self.close()
            raise

    def run(self, state: TrainState, count: int) -> tuple[TrainState, Metrics]:
        """See `Feed`; raises InputError or TrainingFailed for an image that cannot be read."""
        log: list[dict[str, jax.Array]] = []
        waits: list[float] = []
        for _ in range(count):
            batch, waited = self._next(log[-1]["loss"] if log else None)
            state, metrics = self.program(state, *batch)
            if log:
                jax.block_until_ready(log[-1])  # two steps in flight hold two batches, no more
            log.append(metrics)
            waits.append(waited)
        stacked = {k: np.stack([np.asarray(m[k]) for m in log]) for k in log[0]}
        return state, stacked | {"input_wait": np.array(waits)}

    def close(self) -> None:
        """See `Feed`."""
        self._closed.set()
        self._workers.close()
        self._reader.join()

    def _lowered(self, state, step):
        whole, split = sharding.replicated(self._mesh), sharding.over_batch(self._mesh)
        shape = (self._plan.batch_size, self._plan.views, *self._images.shape[1:])
        images = jax.ShapeDtypeStruct(shape, np.uint8, sharding=split)
        labels = jax.ShapeDtypeStruct(shape[:1], self._labels.dtype, sharding=split)
        jitted = jax.jit(step, donate_argnums=0, out_shardings=whole)
        return jitted.lower(state, images, labels)

    def _next(self, running: Any) -> tuple[_Batch, float]:
        """The next batch, and how long the devices waited for it; `running` is their last step."""
        idle_since = None
        while True:
            if idle_since is None and (running is None or running.is_ready()):
                idle_since = time.perf_counter()
            try:
                batch = self._ready.get(timeout=_GLANCE)
                break
            except queue.Empty:
                continue
        if isinstance(batch, Exception):
            code = processes.EXIT_INPUT if isinstance(batch, InputError) else 1
            processes.leave_alone(batch, code)
            raise batch
        return batch, 0.0 if idle_since is None else time.perf_counter() - idle_since

    def _read(self) -> None:
        """The thread: asks for batches ahead and delivers them in order."""
        pending: collections.deque = collections.deque()
        try:
            for step in self._steps:
                if len(pending) == self._slots:
                    self._deliver(*pending.popleft())
                pending.append(self._ask(step))
            while pending:
                self._deliver(*pending.popleft())
        except Exception as error:
            if not self._closed.is_set():
                self._put(_explained(error))

    def _ask(self, step: int):
        """Sets the workers to a batch: where it will be, its images' numbers, what to wait for."""
        epoch, within = divmod(step, self._plan.steps_per_epoch)
        if self._order[0] != epoch:
            data, impl = self._key
            key = jax.random.wrap_key_data(data, impl=impl)
            draw = jax.jit(train_loop.epoch_order, static_argnums=2)
            self._order = epoch, np.asarray(draw(key, epoch, len(self._images)))
        places = (within * self._plan.batch_size + self._rows) % len(self._images)
        numbers = self._order[1][places]
        first = step % self._slots * len(numbers)
        jobs = []
        for start in range(0, len(numbers), CHUNK):
            items = [
                Item(self._images.encoded(i), self._images.name(i), int(i))
                for i in numbers[start : start + CHUNK]
            ]
            jobs.append(self._workers.submit(first + start, step, items))
        return first, numbers, jobs

    def _deliver(self, first: int, numbers: np.ndarray, jobs: list) -> None:
        for job in jobs:
            self._workers.wait(job)
        # A copy: the next batch is written where this one is, and devices may read late.
        images = self._workers.rows[first : first + len(numbers)].copy()
        rows = self._mesh, self._plan.batch_size, self._rows
        self._put(
            _Batch(
                sharding.from_local_rows(*rows, images),
                sharding.from_local_rows(*rows, self._labels[numbers]),
            )
        )

    def _put(self, batch: _Batch | Exception) -> None:
        while not self._closed.is_set():
            try:
                self._ready.put(batch, timeout=0.1)
                return
            except queue.Full:
                continue


def _explained(error: Exception) -> Exception:
    if isinstance(error, InputError | TrainingFailed):
        return error
    failed = TrainingFailed(f"reading training images failed ({type(error).__name__}: {error})")
    failed.__cause__ = error
    return failed
