"""Checks that the folder of a run can be written, and locks it for one program at a time."""

import contextlib
import os
import pathlib
import secrets
import socket

from adapt_jax.core import locks, replacing
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import TEMPORARY, open_unlinked, remove_unfinished
from adapt_jax.runtime import buckets, processes
from adapt_jax.runtime.buckets import LOCK
from adapt_jax.workdir import bundle


def prepare(workdir: str | os.PathLike | None, *, bucket: bool = False) -> pathlib.Path:
    """Creates the folder and makes sure that files can be written there.

    Args:
      workdir: folder of the run.
      bucket: whether it may be the address of a folder in a bucket; its local copy is returned.

    Raises:
      InputError: none given, a bucket that cannot be used, an export, or it cannot be written.
    """
    if not workdir:
        raise InputError("--workdir=DIR is needed: the folder for checkpoints and results")
    if not bucket and buckets.is_address(workdir):
        raise InputError(f"--workdir {workdir} is not a folder; give one, or a mounted bucket")
    path = buckets.local(workdir, write=True)
    if bundle.is_export(path):
        raise InputError(f"{path} is an export, which stays as it is; choose another folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable{os.getpid()}{socket.gethostname()}{TEMPORARY}"
        probe.touch()
        probe.unlink(missing_ok=True)  # the first process may have removed what is unfinished
    except OSError as e:
        raise InputError(
            f"--workdir {path} cannot be written ({e.strerror}); choose another folder"
        ) from None
    return path


def check_shared(workdir: pathlib.Path) -> None:
    """Raises InputError on every process unless all of them see one folder.

    Checkpoints are written by all processes together; they would wait for each other forever.
    """
    token = buckets.home(workdir) / f".shared{processes.first(secrets.randbits(30))}{TEMPORARY}"
    if processes.is_main():
        token.touch()
    processes.wait("token")
    seen = processes.all_of(token.exists())
    if processes.is_main():
        token.unlink(missing_ok=True)
    if not seen:
        raise InputError(
            f"the processes do not see one --workdir={workdir}; put it on storage they share"
        )


@contextlib.contextmanager
def locked(workdir: pathlib.Path):
    """Locks the folder; the operating system releases the lock when the program ends in any way.

    What a killed program left half written is removed, or completed. Of a bucket, the copy on this
    machine is locked, and sent to the bucket when the block ends: programs on two machines do not
    notice each other.

    Raises:
      InputError: another program holds it.
    """
    if not processes.is_main():
        yield
        return
    with open_unlinked(workdir / LOCK) as file:
        _lock(file, workdir, exclusive=True)
        replacing.finish(workdir)
        for folder in (workdir, workdir / "features", workdir / "text"):
            remove_unfinished(folder)
        try:
            yield
        finally:
            buckets.push(workdir)


@contextlib.contextmanager
def read(workdir: pathlib.Path):
    """Context in which no other program writes to the folder; it writes nothing itself.

    Raises:
      InputError: another program holds it.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(FileNotFoundError):  # then no program has ever held it
            _lock(held.enter_context(open(workdir / LOCK, "rb")), workdir, exclusive=False)
        yield


def _lock(file, workdir: pathlib.Path, *, exclusive: bool) -> None:
    if not locks.acquire(file, exclusive=exclusive):
        raise InputError(
            f"another program is writing {workdir}; wait for it, or use another --workdir"
        )
