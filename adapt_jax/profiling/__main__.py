"""Draws a profile: `python -m adapt_jax.profiling WORKDIR/profile` writes two pictures into it.

phases.png: time per phase, and the most expensive operations. timeline.png: one step, with a row
for every thread or stream and each operation in the colour of its phase.
"""

import gzip
import pathlib

import matplotlib

from adapt_jax.core.errors import InputError
from adapt_jax.core.files import read_json
from adapt_jax.profiling import hlo, ops, summary
from adapt_jax.runtime import cli

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = dict(zip((*hlo.PHASES, hlo.OTHER), matplotlib.color_sequences["tab10"]))
_THIN = 2e-4  # of a step; shorter operations are not drawn


def draw(folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the pictures of a profile; InputError where there is none."""
    folder = pathlib.Path(folder)
    kinds = {"phases": dict, "ops": list, "unit": str}
    page = read_json(folder / "summary.json", kinds, "give the folder of a profile")
    program = hlo.parse(gzip.decompress((folder / summary.PROGRAM).read_bytes()).decode())
    figures = {"phases.png": _phases(page), "timeline.png": _timeline(folder, page, program)}
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=80)
        plt.close(figure)
    return [folder / name for name in figures]


def _phases(page):
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3), width_ratios=(2, 3), layout="constrained"
    )
    phases = list(page["phases"].items())[::-1]
    colours = [COLOURS[phase] for phase, _ in phases]
    left.barh([phase for phase, _ in phases], [1e3 * s for _, s in phases], color=colours)
    left.set_xlabel(f"ms per {page['unit']}, all threads or streams together")
    most_expensive = page["ops"][::-1]
    names = [f"{summary.tail(op['from'])}\n{op['op']}" for op in most_expensive]
    right.barh(
        names,
        [100 * op["share"] for op in most_expensive],
        color=[COLOURS[op["phase"]] for op in most_expensive],
    )
    right.tick_params(axis="y", labelsize=7)
    right.set_xlabel("% of it, the five most expensive operations")
    return figure


def _timeline(folder: pathlib.Path, page, program):
    scopes = hlo.scopes(program)
    path = ops.newest(folder)
    recorded = ops.read(path, program.name, {name: scope[2] for name, scope in scopes.items()})
    begin, length = _a_step(recorded, page)

    def shown(e) -> bool:
        ours = e.module in ("", program.name) and _works(scopes.get(e.op))
        inside = begin <= e.start < begin + length
        return ours and inside and e.end - e.start > _THIN * length

    rows = ([e for e in line if shown(e)] for line in ops.lines(path))
    kept = [line for line in rows if line]
    figure, axes = plt.subplots(figsize=(11, 0.9 + 0.45 * len(kept)), layout="constrained")
    for row, line in enumerate(kept):
        for phase in COLOURS:
            bars = [
                (1e3 * (e.start - begin), 1e3 * (e.end - e.start))
                for e in line
                if scopes[e.op][0] == phase
            ]
            axes.broken_barh(bars, (row - 0.4, 0.8), color=COLOURS[phase])
    axes.set_yticks(range(len(kept)), [f"{i}" for i in range(len(kept))])
    axes.set_ylim(-0.5, len(kept) - 0.5)
    axes.set_xlim(0, 1e3 * length)
    axes.set_xlabel(f"ms of one {page['unit']}")
    axes.set_ylabel("thread or stream")
    used = [phase for phase in COLOURS if phase in page["phases"]]
    patches = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[phase]) for phase in used]
    figure.legend(patches, used, loc="outside upper center", ncols=len(used), frameon=False)
    return figure


def _works(scope) -> bool:
    """Whether an operation is the program's, and does not only wait for others."""
    return scope is not None and scope[2] not in hlo.CONTROL


def _a_step(recorded, page) -> tuple[float, float]:
    """When the second step traced begins, if there are two, and how long it takes."""
    starts = ops.step_starts(recorded, page["steps"][1] - page["steps"][0])
    if len(starts) > 2:
        return starts[1], starts[2] - starts[1]
    every = [s for page in recorded.starts.values() for s in page]
    return min(every), max(every) - min(every)


def main(arguments: list[str]) -> None:
    """Draws the profile in the folder named."""
    if len(arguments) != 1:
        raise InputError("give one folder, such as runs/mine/profile")
    for path in draw(pathlib.Path(arguments[0])):
        print(path)


if __name__ == "__main__":
    cli.run(main, arguments=True)
