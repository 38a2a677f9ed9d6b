"""Processes that decode training images side by side into memory shared with the job.

Started afresh rather than forked (JAX has threads), and with `subprocess` rather than
`multiprocessing`, which would import the caller's main module, JAX and all, into each of them. The
memory has no name and the pipes no other holder, so that nothing outlives the job, killed or not.
"""

import contextlib
import mmap
import multiprocessing
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from adapt_jax.core import patience
from adapt_jax.core.errors import InputError, NoAnswer, TrainingFailed
from adapt_jax.data.augment.host_crops import Crops
from adapt_jax.data.workers import process
from adapt_jax.data.workers.process import Item, Task

POSIX = os.name == "posix"
CHUNK = 8  # images a worker is given at a time
PATIENCE = 10  # seconds between the end of a worker's pipe and its own


def default_count() -> int:
    """One worker per core this process may use, but for one; none where there are no pipes."""
    if not POSIX:
        return 0
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    return max(1, len(usable) - 1)


class Job(NamedTuple):
    """Images that are being read: what will be done when they are, and the first one's name."""

    future: Future
    first: str


class Workers:
    """`submit` has images cut into `rows`, which is (R, V, S, S, 3) uint8."""

    def __init__(self, count: int, crops: Crops, rows: int):
        """Starts them.

        Args:
          count: number of processes; 0 decodes in threads of this one.
          crops: settings of the random crops.
          rows: number of rows R of the shared buffer.
        """
        if count and not POSIX:
            raise InputError("input_workers needs pipes this system lacks; set it to 0")
        self._crops = crops
        self._threads = ThreadPoolExecutor(count or os.cpu_count())
        self._all: list[_Worker] = []
        self._stuck = False
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        shape = (rows, crops.views, crops.size, crops.size, 3)
        if not count:
            self.rows = np.empty(shape, np.uint8)
            return
        head = -(-4 * count // mmap.PAGESIZE) * mmap.PAGESIZE
        with _shared(head + int(np.prod(shape))) as file:
            memory = mmap.mmap(file, 0)
            for number in range(count):
                self._all.append(_Worker(number, file, memory, (crops, head, shape)))
                self._idle.put(self._all[-1])
        self.rows = np.frombuffer(memory, np.uint8, offset=head).reshape(shape)

    def submit(self, row: int, step: int, items: Sequence[Item]) -> Job:
        """Has `items`, at most `CHUNK`, made into the rows from `row` on, as step `step` has them.

        Returns: what to `wait` for.
        """
        task = Task(row, step, tuple(items))
        return Job(self._threads.submit(self._do, task), items[0].name)

    def wait(self, job: Job) -> None:
        """Until a job is done; the oldest first.

        Raises:
          InputError: an image cannot be read; it is named.
          TrainingFailed: its worker is gone, or (NoAnswer) has not done it in time.
        """

        def what() -> str:
            stopped = [one.number for one in self._all if one.is_stopped()]
            by = f" (process {stopped[0]}, an input worker, was stopped)" if stopped else ""
            return f"image {job.first} or one of the next {CHUNK - 1}{by}"

        try:
            patience.wait(job.future, what)
        except NoAnswer:
            self._stuck = True
            raise

    def _do(self, task: Task) -> None:
        if not self._all:
            mistake = process.fill(self.rows, self._crops, task)
        else:
            borrowed = self._idle.get()
            try:
                mistake = borrowed.do(task)
            finally:
                self._idle.put(borrowed)
        if mistake:
            raise InputError(mistake)

    def close(self) -> None:
        """Ends them; what they were doing is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for one in self._all:
            one.kill()
        if self._all and not self._stuck:
            self._threads.shutdown()
        for one in self._all:
            one.close()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, number: int, file: int, memory: mmap.mmap, setting: tuple):
        self._number, self._memory = number, memory
        self._pipe, theirs = multiprocessing.Pipe()
        root = str(pathlib.Path(__file__).resolve().parents[3])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        # Threads of numerical libraries would only take the cores from the other workers.
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        descriptors = theirs.fileno(), file
        with theirs, _signals_held():
            self._process = subprocess.Popen(
                [sys.executable, "-m", process.__name__, *map(str, (*descriptors, number))],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={**os.environ, **limits, "PYTHONPATH": paths},
            )
        self._send(setting)

    def do(self, task: Task) -> str:
        """What `process.fill` returns of it."""
        try:
            self._pipe.send(task)
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            at = np.frombuffer(self._memory, np.int32, count=self._number + 1)[self._number]
            name = task.items[min(int(at), len(task.items) - 1)].name
            raise TrainingFailed(
                f"an input worker ended ({self._ending()}) at or before image {name}; look at the "
                "image, and at the memory the workers have (input_workers=0 does without them)"
            ) from error

    @property
    def number(self) -> int:
        """Its process's."""
        return self._process.pid

    def is_stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP), as far as the system tells."""
        try:
            status = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(") ")[2][:1] in ("T", "t")

    def kill(self) -> None:
        """Ends it at once: it has nothing to lose."""
        self._process.kill()

    def close(self) -> None:
        """Forgets it, even if it waits for storage and cannot end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        self._pipe.close()

    def _send(self, setting: tuple) -> None:
        with contextlib.suppress(OSError):  # its first task will say so
            self._pipe.send(setting)

    def _ending(self) -> str:
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


@contextlib.contextmanager
def _shared(size: int) -> Iterator[int]:
    """A file descriptor of that much memory that has no name."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("adapt_jax_input")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    try:
        os.ftruncate(file, size)
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """A process started inside never sees SIGINT or SIGTERM; here they wait until the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
