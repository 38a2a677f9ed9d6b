"""One page from a trace and a compiled program: WORKDIR/profile/summary.txt and .json.

All figures of work (FLOPs, bytes, memory of the program) are those of one device: the compiler sees
the program after it was split over the devices.
"""

import contextlib
import gzip
import json
import pathlib
import time
from typing import Any, NamedTuple

import jax

from adapt_jax.core.files import write_atomically
from adapt_jax.profiling import device_peaks, hlo, ops
from adapt_jax.runtime import provenance
from adapt_jax.runtime.compilation import Timing

MOST = 5  # operations shown
PROGRAM = "program.txt.gz"  # what was compiled, by which operations have names


class Subject(NamedTuple):
    """The compiled program of a step, and its description.

    program: compiled; a loop over steps whose length is a run-time value counts as one step.
    what: the job in words. devices: likewise. dtype: the network's, which chooses the peak.
    images: per step, over all devices.
    """

    program: Any
    timing: Timing
    what: str
    devices: str
    dtype: str
    images: int


class Recording(NamedTuple):
    """A finished trace of steps first to last - 1, and untraced steps just before them.

    seconds: the host's clock on the steps traced, without what was between them.
    """

    folder: pathlib.Path
    unit: str
    steps: tuple[int, int]
    seconds: float
    untraced: int
    untraced_seconds: float


def write(recording: Recording, subject: Subject) -> dict[str, Any]:
    """Writes the files that `profiling` describes, and returns the content of summary.json."""
    program = subject.program.as_text()
    (recording.folder / PROGRAM).write_bytes(gzip.compress(program.encode(), mtime=0))
    page = summarise(recording, subject, hlo.parse(program))
    write_atomically(recording.folder / "summary.json", json.dumps(page, indent=1).encode())
    write_atomically(recording.folder / "summary.txt", text(page).encode())
    with contextlib.suppress(RuntimeError, NotImplementedError):  # not on every backend
        jax.profiler.save_device_memory_profile(str(recording.folder / "memory.prof"))
    return page


def summarise(recording: Recording, subject: Subject, program: hlo.Program) -> dict[str, Any]:
    """The content of summary.json; unknown values are None."""
    device = jax.local_devices()[0]
    scopes = hlo.scopes(program)
    path = ops.newest(recording.folder)
    opcodes = {name: opcode for name, (_, _, opcode) in scopes.items()}
    recorded = ops.read(path, program.name, opcodes)
    count = recording.steps[1] - recording.steps[0]
    traced = ops.spread(ops.step_seconds(recorded, count))
    untraced = recording.untraced_seconds / recording.untraced if recording.untraced > 0 else None
    seconds = untraced or traced.get("median") or recording.seconds / count
    work = _work(subject, program, device.device_kind, seconds)
    total = sum(recorded.seconds.values()) + recorded.elsewhere
    return {
        "what": subject.what,
        "devices": subject.devices,
        "device_kind": device.device_kind,
        "jax": jax.__version__,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "unit": recording.unit,
        "steps": list(recording.steps),
        "images_per_step": subject.images,
        "step_seconds": seconds,
        "untraced": {"steps": recording.untraced, "mean": untraced},
        "traced": traced,
        "traced_mean": recording.seconds / count,
        "compile_seconds": subject.timing.seconds,
        "compiled_from_cache": subject.timing.cached,
        **work,
        "memory": _memory(subject.program, device),
        "busy": recorded.busy,
        "op_seconds": total / count,
        "phases": {k: v / count for k, v in ops.by_phase(recorded, scopes).items()},
        "ops": [
            _op(op, recorded, scopes[op], count, total)
            for op in sorted(recorded.seconds, key=lambda o: -recorded.seconds[o])[:MOST]
        ],
        "trace": str(path),
    }


def _op(op: str, recorded, scope, count: int, total: float) -> dict[str, Any]:
    phase, stack, opcode = scope
    return {
        "op": op,
        "opcode": opcode,
        "phase": phase,
        "from": stack,
        "seconds": recorded.seconds[op] / count,
        "share": recorded.seconds[op] / total,
        "per_step": recorded.counts[op] / count,
    }


def _work(subject: Subject, program, kind: str, seconds: float | None) -> dict[str, Any]:
    """FLOPs and bytes of a step, and what share of the device's peak they are."""
    costs = subject.program.cost_analysis() or {}
    once, flops = hlo.matrix_flops(program)
    peak, source = device_peaks.operations(kind, subject.dtype)
    rate = flops / seconds if flops and seconds else None
    moved = costs.get("bytes accessed")
    bandwidth = device_peaks.bandwidth(kind)
    return {
        "flops": flops,
        "flops_compiler": costs.get("flops"),
        "flops_in_loops": flops - once,
        "flops_per_second": rate,
        "dtype": subject.dtype,
        "peak_flops_per_second": peak,
        "peak_source": source,
        "mfu": rate / peak if rate and peak else None,
        "bytes": moved,
        "bytes_per_second": moved / seconds if moved and seconds else None,
        "peak_bytes_per_second": bandwidth,
    }


def _memory(program, device) -> dict[str, int | None]:
    """Memory in bytes: the compiler's plan, the device's peak and the host's peak."""
    planned = program.memory_analysis()
    stats = device.memory_stats() or {}
    return {
        "arguments": getattr(planned, "argument_size_in_bytes", None),
        "outputs": getattr(planned, "output_size_in_bytes", None),
        "aliased": getattr(planned, "alias_size_in_bytes", None),
        "temporaries": getattr(planned, "temp_size_in_bytes", None),
        "device_peak": stats.get("peak_bytes_in_use"),
        "device_limit": stats.get("bytes_limit"),
        "host_peak": provenance.host_peak_bytes(),
    }


def text(page: dict[str, Any]) -> str:
    """The page."""
    unit, (first, last) = page["unit"], page["steps"]
    cache = "from the cache" if page["compiled_from_cache"] else "not from the cache"
    lines = [
        page["what"],
        f"{page['devices']}, jax {page['jax']}, {page['date']}; "
        f"{_plural(unit)} {first} to {last - 1} traced",
        "",
        f"{unit + ' time':<14}{_step(page)}",
        f"{'compile time':<14}{page['compile_seconds']:.1f} s, {cache}",
        f"{'FLOPs':<14}{_flops(page)}",
        f"{'MFU':<14}{_mfu(page)}",
        f"{'bytes':<14}{_bytes(page)}",
        f"{'memory':<14}{_memory_line(page['memory'])}",
        f"{'busy':<14}{_percent(page['busy'])} of the traced time some operation was running",
        "",
        f"{'phase':<12}{'ms per ' + unit:>12}  share",
    ]
    total = page["op_seconds"] or 1.0
    for phase, seconds in page["phases"].items():
        lines.append(f"{phase:<12}{1e3 * seconds:12.3f}  {_percent(seconds / total):>6}")
    if not page["phases"]:
        lines.append("the trace has no operation of this program")
    lines += ["", f"{'operation':<34}{'phase':<10}{'ms per ' + unit:>12}  share  from"]
    for op in page["ops"]:
        lines.append(
            f"{op['op'][:33]:<34}{op['phase']:<10}{1e3 * op['seconds']:12.3f} "
            f"{_percent(op['share']):>6}  {tail(op['from'])}"
        )
    return "\n".join(lines) + "\n"


def _step(page) -> str:
    traced, before = page["traced"], page["untraced"]
    parts = []
    if before["mean"]:
        parts.append(f"{_ms(before['mean'])} over the {before['steps']} before the trace")
    if traced:
        parts.append(
            f"traced: median {_ms(traced['median'])}, {_ms(traced['min'])} to {_ms(traced['max'])}"
        )
    if not parts:
        parts.append(f"{_ms(page['traced_mean'])} traced")
    return "; ".join([*parts, f"{page['images_per_step'] / page['step_seconds']:,.0f} images/s"])


def _flops(page) -> str:
    loops = f", {_si(page['flops_in_loops'])} of them in inner loops"
    return (
        f"{_si(page['flops'])} per {page['unit']} and device in products and convolutions"
        f"{loops if page['flops_in_loops'] else ''}"
    )


def _mfu(page) -> str:
    rate = f"{_si(page['flops_per_second'])}FLOP/s" if page["flops_per_second"] else "not known"
    if not page["peak_flops_per_second"]:
        return f"{rate}; peak of {page['device_kind']!r} in {page['dtype']} unknown"
    peak = f"{_si(page['peak_flops_per_second'])}FLOP/s ({page['peak_source']})"
    return f"{_percent(page['mfu'])}: {rate} of {peak}" if page["mfu"] else f"{rate} of {peak}"


def _bytes(page) -> str:
    if not page["bytes"]:
        return "the compiler does not say"
    line = f"{_si(page['bytes'])}B per {page['unit']}, by the compiler, inner loops once"
    if page["bytes_per_second"]:
        line += f"; {_si(page['bytes_per_second'])}B/s"
    if page["peak_bytes_per_second"]:
        line += f" of {_si(page['peak_bytes_per_second'])}B/s"
    return line


def _memory_line(memory) -> str:
    planned = (
        f"{name} {_si(memory[name])}B"
        for name in ("arguments", "outputs", "temporaries")
        if memory[name] is not None
    )
    peak = (
        f"device at most {_si(memory['device_peak'])}B"
        if memory["device_peak"]
        else "the device does not say its peak"
    )
    return f"{', '.join(planned)}; {peak}; host at most {_si(memory['host_peak'])}B"


def _plural(unit: str) -> str:
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.4g} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _si(value: float) -> str:
    """1.23e9 -> "1.23 G", decimal."""
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:.3g} "


def tail(stack: str) -> str:
    """The last informative parts of a name stack."""
    dull = ("while", "body", "closed_call", "cond", "branch_0_fun", "branch_1_fun")
    parts = [p for p in stack.split("/") if p not in dull and not p.startswith("jit(")]
    return "/".join(parts[-4:])
