"""Reads a compiled program's text: where operations come from, and how often loops run."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

PHASES = ("augment", "forward", "sinkhorn", "loss", "backward", "update", "score")
OTHER = "other"  # what has no phase's name on it
CONTROL = ("while", "call", "conditional", "async-start", "async-done")  # their time is the body's

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\(.*)?\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_CALLED = re.compile(
    r"\b(calls|body|condition|to_apply|branch_computations)=(?:\{([^}]*)\}|%?([\w.\-]+))"
)
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_LIBRARY = re.compile(r'custom_call_target="[^"]*(cudnn|cublas|gemm|conv|miopen)', re.IGNORECASE)
_SHAPE = re.compile(r"\w+\[([\d,]*)\]")
_WRAPPED = re.compile(r"^(?:\w+\()*([\w.<>\-]*)\)*$")


class Instruction(NamedTuple):
    """One line of a program: `shape` of its first output; `called` computations by role."""

    name: str
    opcode: str
    shape: tuple[int, ...]
    rest: str  # from its operands on
    op_name: str  # JAX's name stack: "jit(loop)/while/body/jvp(forward)/..."
    called: tuple[tuple[str, str], ...]


class Program(NamedTuple):
    """A compiled module's computations by name, the first to run being `entry`."""

    name: str
    entry: str
    computations: Mapping[str, tuple[Instruction, ...]]


def parse(text: str) -> Program:
    """Reads `compiled.as_text()`."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if line.startswith(" "):
            if current is not None and (match := _INSTRUCTION.match(line)):
                current.append(_instruction(*match.groups()[1:]))
        elif match := _COMPUTATION.match(line):
            current = computations.setdefault(match[2], [])
            entry = match[2] if match[1] else entry
    name = re.match(r"HloModule ([\w.\-]+)", text)
    return Program(
        name[1] if name else "", entry, {k: tuple(body) for k, body in computations.items()}
    )


def _instruction(name: str, kind: str, opcode: str, rest: str) -> Instruction:
    shape = _SHAPE.search(kind)
    op_name = re.search(r'op_name="([^"]*)"', rest)
    called = tuple(
        (role, target.strip().lstrip("%"))
        for role, several, one in _CALLED.findall(rest)
        for target in (several or one).split(",")
    )
    return Instruction(
        name,
        opcode,
        tuple(int(n) for n in shape[1].split(",") if n) if shape else (),
        rest,
        op_name[1] if op_name else "",
        called,
    )


def phase(op_name: str) -> str:
    """The phase of an operation from JAX's name stack.

    The innermost name that is a phase's counts; what autodiff transposed is "backward".
    """
    parts = op_name.split("/")
    if any("transpose(" in part for part in parts):
        return "backward"
    names = [match[1] for part in parts if (match := _WRAPPED.match(part))]
    return next((name for name in reversed(names) if name in PHASES), OTHER)


def scopes(program: Program) -> dict[str, tuple[str, str, str]]:
    """(phase, name stack, opcode) of every instruction by name.

    A fusion whose root has no phase has that of most of what was fused into it.
    """
    votes = {}
    for name, instructions in program.computations.items():
        votes[name] = Counter(p for i in instructions if (p := phase(i.op_name)) != OTHER)
    scope_of = {}
    for instructions in program.computations.values():
        for i in instructions:
            own = phase(i.op_name)
            if own == OTHER:
                inside = sum((votes.get(target, Counter()) for _, target in i.called), Counter())
                own = inside.most_common(1)[0][0] if inside else OTHER
            scope_of[i.name] = own, i.op_name, i.opcode
    return scope_of


def matrix_flops(program: Program) -> tuple[float, float]:
    """Floating-point operations of all products and convolutions: (bodies once, as often as run).

    XLA's own count takes the body of every loop once. The second number multiplies with the trip
    counts XLA knows; a loop whose length is a run-time value (the loop over steps) counts once.
    """
    shapes = {c: {i.name: i.shape for i in body} for c, body in program.computations.items()}
    once = _walk(program, program.entry, lambda i: 1, shapes)
    return once, _walk(program, program.entry, _trips, shapes)


def hides_products(program: Program, name: str = "", repeated: bool = False) -> bool:
    """Whether a loop that runs several times holds library calls, whose work is not in the text.

    On NVIDIA GPUs convolutions and products are such calls.
    """
    for i in program.computations.get(name or program.entry, ()):
        if repeated and i.opcode == "custom-call" and _LIBRARY.search(i.rest):
            return True
        for role, target in i.called:
            more = repeated or (role == "body" and _trips(i) > 1)
            if hides_products(program, target, more):
                return True
    return False


def _walk(program: Program, name: str, trips: Callable[[Instruction], int], shapes) -> float:
    total = 0.0
    for i in program.computations.get(name, ()):
        total += _flops(i, shapes[name])
        for role, target in i.called:
            if role != "to_apply" or i.opcode == "call":
                total += (trips(i) if role == "body" else 1) * _walk(program, target, trips, shapes)
    return total


def _trips(i: Instruction) -> int:
    match = _TRIPS.search(i.rest)
    return int(match[1]) if match else 1


def _flops(i: Instruction, shapes: Mapping[str, tuple[int, ...]]) -> float:
    if i.opcode not in ("dot", "convolution"):
        return 0.0
    operands = re.findall(r"%([\w.\-]+)", i.rest.split(")")[0])
    if i.opcode == "dot":
        summed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", i.rest)
        left = shapes.get(operands[0], ())
        inner = math.prod(left[int(n)] for n in summed[1].split(",") if n) if summed else 1
        return 2.0 * math.prod(i.shape) * inner
    kernel = shapes.get(operands[1], ())
    labels = re.search(r"dim_labels=\w+_(\w+)->", i.rest)
    out = kernel[labels[1].index("o")] if labels and kernel else 1
    return 2.0 * math.prod(i.shape) * math.prod(kernel) / out
