"""Turns errors inside any command into a one-line message and an exit code."""

import contextlib
import errno
import json
import lzma
import os
import pathlib
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NamedTuple

from adapt_jax.core import file_names
from adapt_jax.core.errors import InputError, NoAnswer, TrainingFailed
from adapt_jax.core.redaction import redacted

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141  # as of a program that SIGPIPE ends
TRACEBACK = "ADAPT_JAX_TRACEBACK"

_DAMAGED = (
    json.JSONDecodeError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
    struct.error, EOFError, RecursionError,
)  # fmt: skip
_READERS = ("json", "zipfile", "numpy.lib", "safetensors", "PIL", "tarfile")  # raise anything
_REMEDIES = {
    errno.ENOSPC: "free some space and run the command again",
    errno.EDQUOT: "free some of the quota and run the command again",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EROFS: "choose another place",
    errno.ENAMETOOLONG: "choose a shorter one",
    errno.EMFILE: "raise the limit with `ulimit -n`",
}


class Explanation(NamedTuple):
    """The message of a command for an error, and its exit code."""

    sentence: str
    code: int


@contextlib.contextmanager
def explained(prefix: Callable[[], str] = str) -> Iterator[None]:
    """Ends the program with one sentence on stderr where an error inside is not a bug of ours.

    ADAPT_JAX_TRACEBACK=1 in the environment shows where it was noticed instead.

    Args:
      prefix: what the sentence starts with, asked for when there is one.
    """
    file_names.let_through()
    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_PIPE) from None
    except (Exception, KeyboardInterrupt) as error:
        explanation = explain(error)
        if explanation is None or os.environ.get(TRACEBACK):
            raise
        with contextlib.suppress(OSError):  # it may be stdout that is on the full disk
            sys.stdout.flush()
        print(f"{prefix()}error: {redacted(explanation.sentence)}", file=sys.stderr, flush=True)
        if isinstance(error, NoAnswer):
            os._exit(explanation.code)
        raise SystemExit(explanation.code) from None


def explain(error: BaseException) -> Explanation | None:
    """What to say of an error; None of one that can only be a bug, which deserves a traceback."""
    if isinstance(error, InputError):
        return Explanation(str(error), EXIT_INPUT)
    if isinstance(error, TrainingFailed):
        return Explanation(str(error), EXIT_FAILED)
    if isinstance(error, KeyboardInterrupt):
        return Explanation("interrupted", EXIT_INTERRUPTED)
    if isinstance(error, MemoryError):
        return Explanation(
            "the host's memory ran out; use smaller sets (?limit=) or batches", EXIT_FAILED
        )
    if "RESOURCE_EXHAUSTED" in str(error):
        what = str(error).splitlines()[0][:200]
        remedy = "lower batch_size or eval_batch_size, or set microbatches or model.remat"
        return Explanation(f"the device's memory ran out ({what}); {remedy}", EXIT_FAILED)
    if isinstance(error, OSError):
        return Explanation(_of_system(error), EXIT_INPUT)
    if isinstance(error, UnicodeError):
        return Explanation(
            f"text that is not UTF-8{_where(error)} ({error}); convert it", EXIT_INPUT
        )
    if isinstance(error, _DAMAGED) or _raised_by_a_reader(error):
        what = f"{type(error).__name__}: {error}"[:300]
        return Explanation(f"a file is damaged{_where(error)} ({what}); restore it", EXIT_INPUT)
    return None


def _of_system(error: OSError) -> str:
    remedy = _REMEDIES.get(error.errno or 0, "check the path and the storage it is on")
    if error.filename is None:
        return f"{error.strerror or error}{_where(error)}; {remedy}"
    return f"{os.fsdecode(error.filename)}: {error.strerror or error}; {remedy}"


def _frames(error: BaseException) -> list[FrameType]:
    """Where an error passed, the place that raised it first."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames[::-1]


def _raised_by_a_reader(error: BaseException) -> bool:
    """Whether a library that reads files raised it, and not one that computes."""
    frames = _frames(error)
    module = frames[0].f_globals.get("__name__", "") if frames else ""
    return any(module == name or module.startswith(f"{name}.") for name in _READERS)


def _where(error: BaseException) -> str:
    """Around which file an error arose, as far as the functions it passed had one at hand."""
    for frame in _frames(error):
        for value in frame.f_locals.values():
            if isinstance(value, str | pathlib.Path) and os.path.isfile(value):
                return f", probably {value}"
    return ""
