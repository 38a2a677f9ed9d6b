"""Checks that the folder of a run can be written, and locks it for one program at a time."""

import contextlib
import os
import pathlib
import re
import secrets
import socket

from adapt_jax.core import replacing
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import TEMPORARY, open_unlinked, remove_unfinished
from adapt_jax.runtime import processes
from adapt_jax.workdir import bundle

LOCK = ".lock"

try:
    import fcntl
except ImportError:  # not on Windows; there two programs are not told apart
    fcntl = None


def prepare(workdir: str | os.PathLike | None) -> pathlib.Path:
    """Creates the folder and makes sure that files can be written there.

    Raises:
      InputError: none given, a bucket, an export, or it cannot be written.
    """
    if not workdir:
        raise InputError("--workdir=DIR is needed: the folder for checkpoints and results")
    if re.match(r"\w+://", str(workdir)):
        raise InputError(f"--workdir {workdir} is not a folder; give one, or a mounted bucket")
    path = pathlib.Path(workdir).expanduser()
    if bundle.is_export(path):
        raise InputError(f"{path} is an export, which stays as it is; choose another folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable{os.getpid()}{socket.gethostname()}{TEMPORARY}"
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise InputError(
            f"--workdir {path} cannot be written ({e.strerror}); choose another folder"
        ) from None
    return path


def check_shared(workdir: pathlib.Path) -> None:
    """Raises InputError on every process unless all of them see one folder.

    Checkpoints are written by all processes together; they would wait for each other forever.
    """
    token = workdir / f".shared{processes.first(secrets.randbits(30))}{TEMPORARY}"
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

    What a killed program left half written is removed, or completed.

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
        yield


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
    if fcntl is None:
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"another program is writing {workdir}; wait for it, or use another --workdir"
        ) from None
    except OSError:
        pass  # a file system without locks
