"""Output on the terminal while a job runs, and tracebacks of its failures."""

import contextlib
import logging
import pathlib
import sys
import time
import traceback
from collections.abc import Callable

import jax
from rich.console import Console
from rich.text import Text

from adapt_jax.core.errors import InputError
from adapt_jax.core.redaction import redacted
from adapt_jax.runtime import processes


def console() -> Console:
    """The console on stdout of the first process, without colours when it is no terminal."""
    if not processes.is_main():
        return Console(quiet=True)
    terminal = sys.stdout.isatty()
    width = None if terminal else 120  # logs and pipes have no width of their own
    # Notebooks ask for colour (FORCE_COLOR), but cannot move the cursor of a progress bar.
    return Console(
        file=sys.stdout,
        width=width,
        force_terminal=terminal,
        force_jupyter=False,
        markup=False,  # "[/x]" in a path is not a tag
        emoji=False,  # nor ":x:" a picture
    )


def printer(console: Console) -> Callable[[str], None]:
    """`report_progress(text)`: prints lines as they are, neither wrapped nor coloured."""
    return lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Says on stderr what a person should know although the job goes on; once, not per process."""
    if processes.is_main():
        print(f"warning: {redacted(text)}", file=sys.stderr, flush=True)


def quiet_asyncio() -> None:
    """Drops what asyncio prints of reads that another library has started and then given up.

    They end after their event loop, one traceback each; the library has raised an error by then.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    for name in ("excepthook", "unraisablehook"):
        hook = getattr(sys, name)
        if getattr(hook, "__name__", "") != "quiet":
            setattr(sys, name, _quiet(hook))


def _quiet(hook: Callable) -> Callable:
    def quiet(*arguments):
        error = arguments[0].exc_value if len(arguments) == 1 else arguments[1]
        if not (isinstance(error, RuntimeError) and "Event loop is closed" in str(error)):
            hook(*arguments)

    return quiet


@contextlib.contextmanager
def doing(console: Console):
    """`report_progress(text)`: shows the current task as one changing line, or as log lines."""
    if not console.is_terminal:
        began = time.perf_counter()
        yield lambda text: console.print(
            f"{time.perf_counter() - began:7.1f} s  {text}", highlight=False, markup=False
        )
        return
    with console.status("") as status:
        yield lambda text: status.update(Text(text))


@contextlib.contextmanager
def failures(workdir: pathlib.Path):
    """Writes the traceback of an exception that ends the job to WORKDIR/errors, per process."""
    try:
        yield
    except (SystemExit, InputError):
        raise
    except BaseException:
        path = pathlib.Path(workdir) / "errors" / f"process{jax.process_index()}.log"
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            trace = redacted(traceback.format_exc())
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{trace}\n")
        raise
