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
_LIBRARY = re.compile(r"cudnn.*conv|cublas|gemm|matmul", re.IGNORECASE)
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_SHAPE = re.compile(r"\w+\[([\d,]*)\]")
_WRAPPED = re.compile(r"^(?:\w+\()*([\w.<>\-]*)\)*$")


class Instruction(NamedTuple):
    """One line of a program.

    type: of all outputs, as written. shape: of the first output. called: computations by role.
    """

    name: str
    opcode: str
    type: str
    shape: tuple[int, ...]
    rest: str  # from its operands on
    op_name: str  # JAX's name stack: "jit(loop)/while/body/jvp(forward)/..."
    called: tuple[tuple[str, str], ...]

    @property
    def operands(self) -> list[str]:
        """Names of the instructions it reads."""
        depth = 1
        for end, letter in enumerate(self.rest):  # layouts have parentheses of their own
            depth += (letter == "(") - (letter == ")")
            if not depth:
                return re.findall(r"%([\w.\-]+)", self.rest[:end])
        return []

    @property
    def target(self) -> str:
        """The library function that a custom call names; "" for other instructions."""
        match = _TARGET.search(self.rest) if self.opcode == "custom-call" else None
        return match[1] if match else ""


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
        kind,
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
    return once, _walk(program, program.entry, trips, shapes)


def _walk(program: Program, name: str, times: Callable[[Instruction], int], shapes) -> float:
    total = 0.0
    for i in program.computations.get(name, ()):
        total += _flops(i, shapes[name])
        for role, target in i.called:
            if role != "to_apply" or i.opcode == "call":
                total += (times(i) if role == "body" else 1) * _walk(program, target, times, shapes)
    return total


def trips(i: Instruction) -> int:
    """How often a loop's body runs; 1 where only the run tells."""
    match = _TRIPS.search(i.rest)
    return int(match[1]) if match else 1


def _flops(i: Instruction, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Two per multiplication of a product or convolution, a library's included; else 0."""
    kind = i.target or i.opcode
    if kind not in ("dot", "convolution") and not _LIBRARY.search(kind):
        return 0.0
    left, right = (shapes.get(name, ()) for name in (*i.operands, "", "")[:2])
    if labels := re.search(r"dim_labels=\w+_(\w+)->", i.rest):
        # A library's gradients carry the labels of the forward convolution.
        large, kernel = i.shape, right
        if "BackwardInput" in kind:
            large = left
        elif "BackwardFilter" in kind:
            large, kernel = right, i.shape
        between = re.search(r"lhs_dilate=([\dx]+)", i.rest)  # zeros stuffed into the input
        zeros = math.prod(map(int, between[1].split("x"))) if between else 1
        out = kernel[labels[1].index("o")] if kernel else 1
        return 2.0 * math.prod(large) * math.prod(kernel) / out / zeros
    summed = re.search(r'lhs_contracting_dim(?:s=\{|ensions":\[)([\d,"]*)', i.rest)
    inner = [left[int(n)] for n in re.findall(r"\d+", summed[1])] if summed and left else []
    return 2.0 * math.prod(i.shape) * math.prod(inner)
