"""Locks on open files, which the operating system releases when a program ends in any way."""

from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows; there two programs are not told apart
    fcntl = None


def acquire(file: IO, *, exclusive: bool, wait: bool = False) -> bool:
    """Locks an open file until it is closed; False if another program holds it.

    True as well where the system or the file system has no locks.

    Args:
      file: the open file.
      exclusive: whether nobody else may lock it meanwhile, or only nobody exclusively.
      wait: whether to wait for another program.
    """
    if fcntl is None:
        return True
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
