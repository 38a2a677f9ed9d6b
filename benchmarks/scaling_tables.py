"""The scaling model's tables, in Markdown."""

from collections.abc import Sequence

import jax

from benchmarks import scaling_time
from benchmarks.chips import Chip
from benchmarks.hlo_collectives import SOURCES
from benchmarks.scaling_program import Program
from benchmarks.scaling_time import Assumptions, Measured


def table(head: Sequence[str], rows: Sequence[Sequence[object]], left: int) -> str:
    """A Markdown table whose first `left` columns are text and whose others are numbers."""
    marks = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, marks, *rows))


def collectives(program: Program) -> str:
    """What each device sends in a step, by what it is for."""
    head = (
        "for", "collective", "type", "times a step", "arrays", "bytes of the arrays",
        "bytes sent by each device",
    )  # fmt: skip
    rows = []
    for key in sorted({(SOURCES.index(c.source), c.kind, c.dtypes) for c in program.collectives}):
        same = [
            c for c in program.collectives if (SOURCES.index(c.source), c.kind, c.dtypes) == key
        ]
        rows.append(_row(SOURCES[key[0]], key[1], ", ".join(key[2]), same))
    rows.append(_row("all", "", "", program.collectives))
    return table(head, rows, 3)


def _row(source, kind, dtypes, found):
    totals = [
        sum(c.times for c in found),
        sum(c.times * c.arrays for c in found),
        sum(c.times * c.payload for c in found),
        round(sum(c.times * c.sent for c in found)),
    ]
    return (source, kind, dtypes, *(f"{n:,}" for n in totals))


def flops(programs: Sequence[Program]) -> str:
    """FLOPs of a step, by the compiler and by counting products."""
    head = (
        "devices", "images", "GFLOP of each device, by the compiler",
        "GFLOP of its network, 3 x forward", "GFLOP of the loss", "GB the loss reads and writes",
    )  # fmt: skip
    rows = [
        (
            p.devices,
            f"{p.batch:,}",
            f"{p.flops / 1e9:,.1f}",
            f"{p.network_flops / p.devices / 1e9:,.1f}",
            f"{p.loss.flops / 1e9:,.2f}",
            f"{p.loss.bytes / 1e9:,.2f}",
        )
        for p in programs
    ]
    return table(head, rows, 0)


def prediction(kinds: Sequence[Chip], alone: Program, programs: Sequence[Program], **given) -> str:
    """Times and efficiency of every chip and number of devices; `given` as `predict` takes it."""
    head = (
        "chip", "devices", "images", "network", "loss", "update", "sending", "latency",
        "step, ms", "images/s", "efficiency",
    )  # fmt: skip
    rows = []
    for chip in kinds:
        one = scaling_time.predict(alone, chip, **given)
        for program in (alone, *(p for p in programs if 1 < p.devices <= chip.most)):
            times = scaling_time.predict(program, chip, **given)
            share = scaling_time.efficiency(alone, one, program, times)
            rows.append(
                (
                    chip.title,
                    program.devices,
                    f"{program.batch:,}",
                    *(f"{1e3 * seconds:.2f}" for seconds in (*times, times.step)),
                    f"{program.batch / times.step:,.0f}",
                    f"{100 * share:.0f} %",
                )
            )
    return table(head, rows, 1)


def assumptions(assumed: Assumptions, measured: Measured | None) -> str:
    """One paragraph: what the predictions rest on."""
    network = f"{100 * assumed.share_of_peak:g} % of the bfloat16 peak (assumed)"
    if measured:
        network = f"a measured step of {measured.batch} images, {measured.step:g} s"
        parts = ("loss", measured.loss), ("update", measured.update)
        network += "".join(f", {name} {s:g} s" for name, s in parts if s is not None)
    return (
        f"Network: {network}. Links: {100 * assumed.share_of_link:g} % of the data sheet's, "
        f"{1e6 * assumed.overhead:g} us a collective and {1e6 * assumed.hop:g} us a hop (assumed). "
        f"jax {jax.__version__}."
    )


def report(
    config,
    kinds: Sequence[Chip],
    alone: Program,
    strong: Sequence[Program],
    alone_weak: Program,
    weak: Sequence[Program],
    **given,
) -> str:
    """Every table of one config, with headings."""
    name = f"{config.method.name}, {config.model.name}, {config.image_size} x {config.image_size}"
    sections = [f"## {name}, {config.views} views, {alone.parameters:,} parameters"]
    sections += [assumptions(given["assumed"], given["measured"])]
    for program in strong:
        sections += [f"### A step of {program.batch:,} images on {program.devices} devices"]
        sections += [collectives(program)]
    unique = {(p.devices, p.batch): p for p in (*strong, *weak)}
    sections += ["### FLOPs of a step", flops(list(unique.values()))]
    sections += [f"### {alone.batch} images over all devices (strong scaling); milliseconds"]
    sections += [prediction(kinds, alone, strong, **given)]
    sections += [f"### {alone_weak.batch} images on every device (weak scaling); milliseconds"]
    sections += [prediction(kinds, alone_weak, weak, **given)]
    return "\n\n".join(sections)
