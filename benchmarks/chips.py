"""Accelerators by their makers' data sheets; what no data sheet says is an argument elsewhere.

Read 2026-11-22. A link's "bidirectional" figure counts both directions; `link` is one of them.
float32 products at the highest precision take six bfloat16 passes on a TPU's matrix unit; on the
GPUs they run outside the tensor cores.
"""

import math
from typing import NamedTuple

from adapt_jax.core.errors import InputError


class Chip(NamedTuple):
    """One accelerator.

    flops: bfloat16 FLOP/s, dense. flops32: float32 FLOP/s at full precision. memory: bytes/s.
    capacity: bytes. link: bytes/s a chip can send over all its links together. torus: axes of the
    network, 0 for a switch. wrap: axes of a multiple of this length close to rings. most: chips in
    one such network.
    """

    title: str
    flops: float
    flops32: float
    memory: float
    capacity: float
    link: float
    torus: int
    wrap: int
    most: int
    source: str


_TPU = "https://docs.cloud.google.com/tpu/docs"
CHIPS = {
    "v5e": Chip("TPU v5e", 197e12, 197e12 / 6, 819e9, 16e9, 200e9, 2, 16, 256, f"{_TPU}/v5e"),
    "v6e": Chip("TPU v6e", 918e12, 918e12 / 6, 1600e9, 32e9, 400e9, 2, 16, 256, f"{_TPU}/v6e"),
    "v5p": Chip("TPU v5p", 459e12, 459e12 / 6, 2765e9, 95e9, 600e9, 3, 4, 6144, f"{_TPU}/v5p"),
    "h100": Chip(
        "H100 SXM", 989e12, 67e12, 3350e9, 80e9, 450e9, 0, 0, 8,
        "https://www.nvidia.com/en-us/data-center/h100/",
    ),
    "h200": Chip(
        "H200 SXM", 989e12, 67e12, 4800e9, 141e9, 450e9, 0, 0, 8,
        "https://www.nvidia.com/en-us/data-center/h200/",
    ),
}  # fmt: skip


def get(name: str) -> Chip:
    """The chip of that name; InputError lists the known ones."""
    if name not in CHIPS:
        raise InputError(f"unknown chip {name!r}; --chips takes any of {', '.join(CHIPS)}")
    return CHIPS[name]


def hops(chip: Chip, devices: int) -> int:
    """Links a byte crosses one after the other in an all-reduce of next to no data.

    Along each axis of the torus the sums travel to the far end and the total back; to the far end
    is half way round a closed ring. Over a switch: there and back.
    """
    if devices == 1:
        return 0
    if not chip.torus:
        return 2
    far = (n // 2 if n % chip.wrap == 0 else n - 1 for n in shape(devices, chip.torus))
    return 2 * sum(far)


def shape(devices: int, axes: int) -> tuple[int, ...]:
    """The most even torus: 8 -> (2, 4), 256 -> (16, 16), with three axes (4, 8, 8)."""
    if axes == 1:
        return (devices,)
    first = max(
        d for d in range(1, math.floor(devices ** (1 / axes) + 1e-9) + 1) if devices % d == 0
    )
    return (first, *shape(devices // first, axes - 1))
