"""The folder of a run: that it can be written, and that one program at a time writes it."""

import contextlib
import os
import pathlib
import re
import secrets
import socket

from adapt_jax.core.errors import InputError
from adapt_jax.runtime import processes
from adapt_jax.workdir import bundle

try:
    import fcntl
except ImportError:  # not on Windows; there two programs are not told apart
    fcntl = None


def prepare(workdir: str | pathlib.Path | None) -> pathlib.Path:
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
        probe = path / f".writable{os.getpid()}{socket.gethostname()}"
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
    token = workdir / f".shared{processes.first(secrets.randbits(30))}"
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
    """Holds the folder; the operating system lets go of it when the program ends, however it does.

    Raises:
      InputError: another program holds it.
    """
    if fcntl is None or not processes.is_main():
        yield
        return
    with (workdir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another program is writing {workdir}; wait for it, or use another --workdir"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
