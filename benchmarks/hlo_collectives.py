"""Collectives of one step of a compiled loop, read from its HLO text.

A step is one pass through the loop whose number of passes the compiler does not know (`make_loop`'s
count is a run-time value); a program without such a loop is one step. What a loop with a known
count inside a step does counts that often. Conditional branches count as if all were taken.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
GRADIENTS, STATISTICS, STATISTICS_BACK = "gradients", "batch statistics", "their gradients"
INPUTS, OTHER = "embeddings and labels", "other"
SOURCES = (GRADIENTS, STATISTICS, STATISTICS_BACK, INPUTS, OTHER)

_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_ARRAY = re.compile(r"\b(pred|bf16|c64|c128|[suf]\d+)\w*\[([\d,]*)\]")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) .*\{$")
_COLLECTIVE = re.compile(rf" ({'|'.join(KINDS)})(-start)?\(")
_CALLED = re.compile(r"(\w+)=\{?((?:%[\w.-]+(?:, )?)+)\}?")
_WHILE = re.compile(r" while\(")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_OP_NAME = re.compile(r'op_name="([^"]*)"')


class Collective(NamedTuple):
    """One collective instruction.

    kind: of `KINDS`. payload: bytes of the whole result on one device (of the whole operand for
    reduce-scatter). arrays: how many it combines. dtypes: of them. group: devices that take part.
    times: per step. source: of `SOURCES`. name: the operation it came from.
    """

    kind: str
    payload: int
    arrays: int
    dtypes: tuple[str, ...]
    group: int
    times: int
    source: str
    name: str

    @property
    def sent(self) -> float:
        """Bytes each device sends over its links, once, by a ring's algorithm."""
        others = (self.group - 1) / self.group
        if self.kind == "all-reduce":  # a reduce-scatter, then an all-gather
            return 2 * others * self.payload
        return self.payload * (1 if self.kind == "collective-permute" else others)


def per_step(text: str) -> list[Collective]:
    """The collectives of one step, in the order of the text.

    Args:
      text: `compiled.as_text()`.

    Raises:
      ValueError: no entry computation, or several loops of unknown length one after the other.
    """
    entry, bodies = _computations(text)
    match = re.search(r"num_partitions=(\d+)", text)
    devices = int(match[1]) if match else 1
    steps = [c for line in bodies[entry] if (c := _unknown_loop(line))]
    if len(steps) > 1:
        raise ValueError(f"{len(steps)} loops of unknown length: which one is the step?")
    return list(_walk(bodies, steps[0] if steps else entry, 1, devices))


def _computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """The entry's name, and each computation's lines by its name."""
    entry, current, bodies = None, None, {}
    for line in text.splitlines():
        if not line.startswith(" ") and (header := _HEADER.match(line)):
            current = bodies.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        elif current is not None:
            current.append(re.sub(r"/\*.*?\*/", "", line))
    if entry is None:
        raise ValueError("this is no HLO text: it has no ENTRY computation")
    return entry, bodies


def _unknown_loop(line: str) -> str | None:
    """The body of a loop the compiler does not know the length of."""
    if not _WHILE.search(line) or _TRIPS.search(line):
        return None
    return re.search(r"body=%?([\w.-]+)", line)[1]


def _walk(bodies, name: str, times: int, devices: int) -> Iterator[Collective]:
    for line in bodies.get(name, ()):
        if found := _COLLECTIVE.search(line):
            yield _collective(line, found, times, devices)
            continue  # an asynchronous one may name the computation it wraps as well
        trips = int(_TRIPS.search(line)[1]) if _WHILE.search(line) and _TRIPS.search(line) else 1
        for role, names in _CALLED.findall(line.split(" metadata=")[0]):
            for called in re.findall(r"%([\w.-]+)", names):
                if role in _ROLES:
                    yield from _walk(bodies, called, times * trips, devices)


_ROLES = (
    "calls", "to_apply", "body", "condition", "called_computations",
    "branch_computations", "true_computation", "false_computation",
)  # fmt: skip


def _collective(line: str, found: re.Match, times: int, devices: int) -> Collective:
    kind, start = found[1], bool(found[2])
    shape = line[line.index(" = ") + 3 : found.start()]
    if start and kind != "all-reduce":  # (operands, results, ...)
        shape = _top_level(shape)[1]
    arrays = _ARRAY.findall(shape)
    payload = sum(_bytes(dtype, dims) for dtype, dims in arrays)
    group = _group(line, devices)
    if kind == "reduce-scatter":
        payload *= group
    name = match[1] if (match := _OP_NAME.search(line)) else ""
    dtypes = tuple(sorted({dtype for dtype, _ in arrays}))
    source = _source(kind, name, any("," in dims for _, dims in arrays))
    return Collective(kind, payload, len(arrays), dtypes, group, times, source, name)


def _bytes(dtype: str, dims: str) -> int:
    bits = _BITS.get(dtype) or int(re.search(r"\d+", dtype)[0])
    return math.ceil(math.prod(int(d) for d in dims.split(",") if d) * bits / 8)


def _top_level(shape: str) -> list[str]:
    """The members of a tuple's shape, "(a, (b, c))" -> ["a", "(b, c)"]."""
    members, depth, last = [], 0, 1
    for i, letter in enumerate(shape):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 1 and letter == ",":
            members.append(shape[last:i].strip())
            last = i + 1
    return [*members, shape[last : shape.rindex(")")].strip()]


def _group(line: str, devices: int) -> int:
    """How many devices exchange data with each other, in each notation HLO has for it."""
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", line):
        return pairs[1].count("{")
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", line):
        return listed[1].count(",") + 1
    if tiled := re.search(r"replica_groups=\[(\d+),(\d+)\]<=", line):
        return int(tiled[2])
    if mesh := re.search(r"replica_groups=@?\w+\[([^\]]*)\] ?\{([^}]*)\}", line):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
        names = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", mesh[2])  # 'axis' or 'axis':(1)2
        return math.prod(int(part or sizes[axis]) for axis, part in names)
    return devices


def _source(kind: str, name: str, matrices: bool) -> str:
    """What the collective is for, by the operation it came from.

    Combined ones name one or all of their operations. What the backward pass of a batch
    normalisation waits for are vectors; a weight's gradient among the arrays has more axes.
    """
    backward = "transpose(" in name
    if not backward and (kind == "all-gather" or name.endswith("/gather")):
        return INPUTS
    if re.search(r"\bbn\d*\b|_bn\b", name) and not (backward and matrices):
        return STATISTICS_BACK if backward else STATISTICS
    return GRADIENTS if backward else OTHER
