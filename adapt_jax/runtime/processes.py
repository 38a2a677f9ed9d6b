"""Several processes as one program: bring-up, agreement, and failing together.

Every process runs the same job on the same config; arrays span all devices, so the mathematics does
not notice. What could differ between processes (a file only one of them sees, a signal only one of
them gets) is agreed on here before it decides anything.
"""

import contextlib
import hashlib
import itertools
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback

import jax
import numpy as np
from jax.experimental import multihost_utils

from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded
from adapt_jax.core.redaction import redacted

HEARTBEAT = 30  # seconds without a sign of life after which the others give up
_LOST = re.compile(r"(?i)gloo|connection|heartbeat|unavailable|deadline|barrier|peer|socket")
EXIT_INPUT = 2  # wrong input
QUIET = 5  # seconds without the others after which it is said who is waited for
PATIENCE = 240  # seconds to wait for them
_MEETINGS = itertools.count()
_LONGEST = 24 * 3600  # seconds that one process may decode or compile longer than another
EXIT_LOST = 75  # another process is gone (sysexits' "try again"): start all of them again


def start(coordinator: str = "", count: int | None = None, index: int | None = None) -> None:
    """Connects this process with the others, if there are others. Comes before any computation.

    Explicit arguments win, then ADAPT_JAX_COORDINATOR, ADAPT_JAX_NUM_PROCESSES and
    ADAPT_JAX_PROCESS_ID, then what Slurm (srun), Open MPI or a TPU pod slice say by themselves;
    one process is alone whatever those say. Where others do not come it is said within seconds who
    is waited for.

    Args:
      coordinator: address host:port of process 0; or "auto" where JAX finds the others by itself.
      count: number of processes.
      index: index of this process, from 0.

    Raises:
      InputError: the three are incomplete or contradictory, or the others did not come.
    """
    address = coordinator or os.environ.get("ADAPT_JAX_COORDINATOR", "")
    size = _number("ADAPT_JAX_NUM_PROCESSES", count)
    mine = _number("ADAPT_JAX_PROCESS_ID", index)
    if address == "auto":
        _connect("coordinator=auto says that this is one of several processes")
        return
    given = {"coordinator": address, "num_processes": size, "process_id": mine}
    missing = [name for name, value in given.items() if value in ("", None)]
    if size == 1 and len(missing) == 2:
        return  # alone, whatever the surroundings say
    if len(missing) == len(given):
        if surroundings := _surroundings():
            _connect(surroundings)
        return
    if missing:
        raise InputError(
            f"several processes need coordinator, num_processes and process_id; {missing[0]} is "
            "missing (flags, or ADAPT_JAX_COORDINATOR, _NUM_PROCESSES and _PROCESS_ID)"
        )
    if not re.fullmatch(r"\S+:\d+", address):
        raise InputError(f"coordinator is host:port of process 0, got {address!r}")
    if not 0 <= mine < size:
        raise InputError(f"process_id must lie in 0..{size - 1}, got {mine}")
    what = f"this is process {mine} of {size}, with process 0 at {address}"
    if mine > 0:
        _wait_for(address, what)
    if size > 1:
        _connect(what, coordinator_address=address, num_processes=size, process_id=mine)


def is_main() -> bool:
    """Whether this process writes files and prints messages."""
    return jax.process_index() == 0


def prefix() -> str:
    """What a message starts with where several processes share a console."""
    return f"process {jax.process_index()}: " if jax.process_count() > 1 else ""


def all_of(flag: bool) -> bool:
    """Whether the flag is true on every process; every process must ask."""
    wait("all_of")
    return bool(_gathered(flag).all())


def largest(number: int) -> int:
    """The largest of the processes' numbers; every process must ask."""
    return int(_gathered(number).max())


def share(count: int) -> slice:
    """Which of `count` things this process does, where every process does as many."""
    index, size = jax.process_index(), jax.process_count()
    return slice(index * count // size, (index + 1) * count // size)


def joined(rows: np.ndarray, count: int) -> np.ndarray:
    """The rows (count, ...) of all processes, of which each has its `share`; every process asks."""
    size = jax.process_count()
    if size == 1:
        return rows
    ends = [(index + 1) * count // size for index in range(size)]
    lengths = np.diff(ends, prepend=0)
    padded = np.zeros((lengths.max(), *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    wait("joined")
    parts = np.asarray(multihost_utils.process_allgather(padded))
    return np.concatenate([part[:length] for part, length in zip(parts, lengths)])


@contextlib.contextmanager
def together():
    """A mistake that one process finds inside stops all of them, with its reason on its console.

    Raises:
      InputError: this process's own, or that another one has stopped.
    """
    mistake = None
    try:
        yield
    except InputError as e:
        mistake = e
    except Exception as e:  # the others wait for this process to agree
        if jax.process_count() > 1:
            traceback.print_exc()
        leave_alone(e, 1)
        raise
    wait("together")
    failed = np.flatnonzero(_gathered(mistake is not None))
    if mistake is not None:
        raise mistake
    if failed.size:
        raise InputError(f"stopped because process {failed[0]} did; its message says why")


def same(what: str, text: str) -> None:
    """Raises InputError on every process unless `text` is the same on all of them."""
    number = int.from_bytes(hashlib.sha256(encoded(text)).digest()[:4]) >> 1
    numbers = _gathered(number)
    other = np.flatnonzero(numbers != numbers[0])
    if other.size:
        raise InputError(
            f"process {other[0]} sees other {what.removeprefix('the ')} than process 0; every "
            "process must be able to read the same files"
        )


def leave_if_lost(error: Exception) -> None:
    """Ends this process at once if the error says that another one is gone.

    Nobody can go on without it: arrays span all devices. Leaving by the front door would wait for
    it again.
    """
    if jax.process_count() == 1 or not _LOST.search(str(error)):
        return
    sys.stdout.flush()
    print(
        f"{prefix()}error: lost another process ({str(error).strip().splitlines()[0][:200]}); "
        "start all of them again with the same command, it resumes at the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(EXIT_LOST)


def leave_alone(error: Exception, code: int = EXIT_INPUT) -> None:
    """Ends this process at once on a mistake it finds amid steps, if there are other processes.

    They are in the middle of one and wait for it; to leave by the front door would wait for them.
    They see that it is gone and say so.
    """
    if jax.process_count() == 1:
        return
    sys.stdout.flush()
    print(f"{prefix()}error: {redacted(str(error))}", file=sys.stderr, flush=True)
    os._exit(code)


def first(number: int) -> int:
    """The number of process 0; every process must ask."""
    return int(_gathered(number)[0])


def wait(name: str) -> None:
    """Until every process is here, however much longer one of them takes to get here.

    Collectives do not wait like that: on CPUs they give up after half a minute.
    """
    if jax.process_count() > 1:
        from orbax.checkpoint.multihost import get_barrier_sync_fn

        key = f"adapt_jax {name} {next(_MEETINGS)}"  # every process counts the same
        get_barrier_sync_fn()(key=key, timeout_ms=1000 * _LONGEST)


def _gathered(value) -> np.ndarray:
    """The value of every process, (processes,)."""
    if jax.process_count() == 1:
        return np.asarray([value])
    return np.asarray(multihost_utils.process_allgather(np.asarray(value))).reshape(-1)


def _number(variable: str, given: int | None) -> int | None:
    text = os.environ.get(variable, "")
    if given is not None or not text:
        return given
    if not text.isdigit():
        raise InputError(f"{variable} must be a whole number, got {text!r}")
    return int(text)


def _surroundings() -> str:
    """What the environment says of other processes; "" where it speaks of none."""
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"):
        if (count := os.environ.get(name, "1")) not in ("", "1"):
            return f"{name}={count} says that this is one of {count} processes"
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    if "," in hosts:
        return f"TPU_WORKER_HOSTNAMES={hosts} says that this is one of several processes"
    return ""


def _wait_for(address: str, what: str) -> None:
    """Until process 0 listens; JAX itself would abort without a sentence."""
    host, _, port = address.rpartition(":")
    began, said = time.monotonic(), False
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=QUIET).close()
            return
        except OSError as e:
            waited = time.monotonic() - began
            if waited > PATIENCE:
                raise InputError(
                    f"process 0 does not answer at {address} ({e}); start it, and let that port "
                    "through"
                ) from e
            if waited > QUIET and not said:
                _say_waiting(f"{what}, which does not answer yet ({e})")
                said = True
            time.sleep(0.5)


def _say_waiting(what: str) -> None:
    print(
        f"waiting for other processes for up to {PATIENCE} s: {what}. If you typed this command in "
        "an interactive shell, start it with srun or mpirun, or set ADAPT_JAX_NUM_PROCESSES=1 to "
        "run it alone",
        file=sys.stderr,
        flush=True,
    )


@contextlib.contextmanager
def _waiting(what: str):
    """Says after a while what is waited for, and gives up in the end; JAX does neither."""

    def give_up() -> None:  # the main thread is inside JAX
        print(f"error: the other processes did not come: {what}", file=sys.stderr, flush=True)
        os._exit(EXIT_LOST)

    timers = [threading.Timer(QUIET, _say_waiting, [what]), threading.Timer(PATIENCE, give_up)]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _connect(what: str, **arguments) -> None:
    try:
        seconds = _number("ADAPT_JAX_HEARTBEAT", None) or HEARTBEAT
        with _waiting(what):
            jax.distributed.initialize(heartbeat_timeout_seconds=seconds, **arguments)
        # JAX has put a handler that does not end the process in the place of the default.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
    except (RuntimeError, ValueError) as e:
        reason = str(e).strip().splitlines()[0]
        raise InputError(
            f"the processes could not connect ({reason}); start all of them with the same "
            "coordinator, a reachable port, and process ids 0, 1, ..."
        ) from e
