"""The kernels of one step of a program compiled for an accelerator, read from its HLO text.

A kernel is an instruction of the compiled program that does work of its own: a fusion, a library
call, a copy. It is counted with the bytes it reads and writes in the device's memory. What a TPU
keeps on the chip (memory space 1) is not counted, nor what a fusion does not read: of an array that
it only takes slices or rows of, these slices or rows.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from adapt_jax.profiling import hlo

_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "c64": 8, "c128": 16}
_ARRAY = re.compile(r"\b(pred|bf16|c64|c128|[suf]\d+)\w*\[([\d,]*)\](\{[^{}]*\})?")
_TILE = re.compile(r"\{([\d,]*):.*?T\((\d+),(\d+)\)")
_KIND = re.compile(r"kind=(k\w+)")
# Names for values that are there already, and the ends of what has begun.
_FREE = {
    "parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all", "partition-id",
    "opt-barrier", "add-dependency",
}  # fmt: skip
_INSIDE = ("while", "call", "conditional")  # whose bodies hold the kernels
_PARTS = ("slice", "dynamic-slice", "gather")
_IN_PLACE = ("dynamic-update-slice", "scatter")


class Kernel(NamedTuple):
    """One kernel.

    kind: of instruction, or the library function. bytes: read and written, each time. times: per
    step. phase: of `hlo.PHASES`. name: JAX's name stack.
    """

    kind: str
    bytes: int
    times: int
    phase: str
    name: str


def per_step(program: hlo.Program, *, whole: bool = False) -> list[Kernel]:
    """The kernels of a step: of the loop whose length only the run tells, if there is one.

    Loops of known length inside a step count as often as they run, others once, and of branches
    all.

    Args:
      program: the compiled program.
      whole: whether the program itself is the step, whatever loops it has.
    """
    if whole:
        return list(_walk(program, program.entry, 1, hlo.scopes(program)))
    loops = [
        dict(i.called)["body"]
        for i in program.computations[program.entry]
        if i.opcode == "while" and not re.search("known_trip_count", i.rest)
    ]
    scopes = hlo.scopes(program)
    return list(_walk(program, loops[0] if len(loops) == 1 else program.entry, 1, scopes))


def size(kind: str) -> int:
    """Bytes in the device's memory of arrays, as an instruction's type is written.

    On TPUs the two minor sides of an array fill whole tiles.
    """
    total = 0
    for dtype, dims, layout in _ARRAY.findall(kind):
        if "S(1)" in layout:
            continue
        sides = [int(n) for n in dims.split(",") if n]
        if (tile := _TILE.match(layout)) and len(sides) > 1:
            order = [int(n) for n in tile[1].split(",")]
            for axis, unit in zip(order, (int(tile[3]), int(tile[2]))):
                sides[axis] = -(-sides[axis] // unit) * unit
        count = 1
        for side in sides:
            count *= side
        total += count * (_BYTES.get(dtype) or -(-int(re.search(r"\d+", dtype)[0]) // 8))
    return total


def _walk(program: hlo.Program, name: str, times: int, scopes) -> Iterator[Kernel]:
    body = program.computations.get(name, ())
    types = {i.name: i.type for i in body}
    for i in body:
        if i.opcode in _FREE or i.opcode.endswith(("-done", "-update")):
            continue
        begun = i.opcode.endswith("-start") and i.called  # a kernel beside others
        if i.called and (begun or i.opcode in _INSIDE):
            for role, target in i.called:
                if role != "condition":
                    often = hlo.trips(i) if role == "body" else 1
                    yield from _walk(program, target, times * often, scopes)
            continue
        kind = _KIND.search(i.rest)
        called = dict(i.called).get("calls") if i.opcode == "fusion" else None
        inside = program.computations.get(called, ())
        moved = _read(i, inside, types) + _written(i, inside, types)
        if moved or i.target:
            label = i.target or (f"{i.opcode}:{kind[1]}" if kind else i.opcode)
            yield Kernel(label, moved, times, scopes[i.name][0], i.op_name)


def _read(i: hlo.Instruction, inside, types) -> int:
    """Bytes that an instruction reads; `inside` is the computation of a fusion."""
    whole = {name: size(types.get(name, "")) for name in i.operands}
    if i.opcode in _PARTS:
        return size(i.type) + sum(list(whole.values())[1:])
    if i.opcode == "dynamic-update-slice":
        return sum(list(whole.values())[1:])
    numbers = {p.rest.partition(")")[0]: p.name for p in inside if p.opcode == "parameter"}
    total = 0
    for number, name in enumerate(i.operands):
        users = _users(inside, numbers.get(str(number)))
        wide = whole[name] // max(_elements(types.get(name, "")), 1)  # bytes of an element
        if users and all(u.opcode in _PARTS and first for u, first in users):
            total += min(whole[name], sum(_elements(u.type) for u, _ in users) * wide)
        elif not users or not all(u.opcode in _IN_PLACE and first for u, first in users):
            total += whole[name]
    return total


def _elements(kind: str) -> int:
    """How many numbers the first array of a type has."""
    match = _ARRAY.search(kind)
    return math.prod(int(n) for n in match[2].split(",") if n) if match else 0


def _users(inside, name: str | None) -> list[tuple[hlo.Instruction, bool]]:
    """Who reads a parameter of a fusion, by whatever shape, and whether as the first operand."""
    names, users = {name}, []
    for i in inside:
        if names.intersection(i.operands):
            if i.opcode in ("bitcast", "reshape", "convert"):
                names.add(i.name)
            else:
                users.append((i, i.operands[0] in names))
    return users


def _written(i: hlo.Instruction, inside, types) -> int:
    """Bytes that an instruction writes: of an array that is changed in place, the changed part."""
    if i.opcode == "dynamic-update-slice":
        return size(types.get(i.operands[1], ""))
    if i.opcode == "copy-start":  # (copy, original, context)
        return size(_ARRAY.search(i.type)[0])
    updates = [u for u in inside if u.opcode in _IN_PLACE]
    types = {u.name: u.type for u in inside}
    kept = sum(size(u.type) for u in updates)
    new = (u.operands[1 if u.opcode == "dynamic-update-slice" else -1] for u in updates)
    return max(size(i.type) - kept, 0) + sum(size(types.get(name, "")) for name in new)
