"""Published results: list them, or train and evaluate one and compare it with what was published.

    python -m adapt_jax.reproduce list [NAME...] [--format=markdown]
    python -m adapt_jax.reproduce run NAME --workdir=DIR [--seeds=0,1,2] [--sets=tin,mnist]

`list` shows every line of every published table that is known, with its source, and which image
sets are on this machine; with a NAME all its figures. `run` makes one run per seed, in
DIR/NAME/seed<n>; the same command goes on where it was stopped and reads what is finished. It ends
in a verdict, verdict.md and verdict.json. --rehearsal tries all of it
in seconds, with numbers that mean nothing.
"""

from absl import flags

from adapt_jax.core.errors import InputError
from adapt_jax.reproduce import job, pages, published
from adapt_jax.runtime import cli, terminal

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the runs and verdicts.")
SEEDS = flags.DEFINE_list("seeds", [], "Seeds of our runs; by default as many as published.")
SETS = flags.DEFINE_list("sets", [], "OOD sets to evaluate, name or name=source; all by default.")
SET = flags.DEFINE_multi_string("set", [], "Config fields to change: key=value,key=value.")
REHEARSAL = flags.DEFINE_bool("rehearsal", False, "Embedded images, seconds; reproduces nothing.")
FORMAT = flags.DEFINE_string("format", "", "list: markdown; the console's by default.")


def main(arguments: list[str]) -> None:
    """Runs `list` or `run`."""
    what, names = (arguments or [""])[0], arguments[1:]
    if what == "list":
        _list(names)
    elif what == "run" and len(names) == 1:
        if not WORKDIR.value:
            raise InputError("--workdir=DIR is needed: runs and verdicts go there")
        job.run(
            names[0],
            WORKDIR.value,
            seeds=cli.seeds(SEEDS.value) if SEEDS.value else (),
            sets=SETS.value,
            overrides=SET.value,
            rehearse=REHEARSAL.value,
        )
    else:
        raise InputError(
            "usage: python -m adapt_jax.reproduce list [NAME...], or run NAME --workdir=DIR"
        )


def _list(names: list[str]) -> None:
    if names:
        print("\n\n".join(pages.details(published.find(name)) for name in names))
        return
    if FORMAT.value not in ("", "markdown"):
        raise InputError(f"--format is markdown, or nothing for the console; got {FORMAT.value!r}")
    every = list(published.results().values())
    if FORMAT.value:
        print(pages.markdown(*pages.overview(every, here=False)), end="")
    else:
        terminal.console().print(pages.console(*pages.overview(every)))


cli.run(main, arguments=True)
