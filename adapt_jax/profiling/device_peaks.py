"""Peak performance of devices as their makers publish it; per JAX device, dense, not sparse.

NVIDIA's cards: bfloat16 on tensor cores without sparsity, float32 on CUDA cores, memory bandwidth;
TPUs: bfloat16 and bandwidth of a chip. They are the data sheets' figures, many of them read in
other people's tables of those; none has met a measurement here. None: not published, or not
supported. A chip of TPU7x is two devices to JAX, each with half of the chip's 2307 TFLOP/s and 7380
GB/s (docs.cloud.google.com/tpu/docs/tpu7x); the name is jax/_src/tpu_info.py's.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from adapt_jax.core.errors import InputError

VARIABLE = "ADAPT_JAX_PEAK_FLOPS"


class Peak(NamedTuple):
    """Operations per second in bfloat16 and in float32, and bytes per second of its memory."""

    bfloat16: float | None
    float32: float | None
    memory: float | None


PEAKS: Mapping[str, Peak] = {
    "NVIDIA H200": Peak(989e12, 67e12, 4.8e12),
    "NVIDIA H100 80GB HBM3": Peak(989e12, 67e12, 3.35e12),
    "NVIDIA H100 PCIe": Peak(756e12, 51e12, 2.0e12),
    "NVIDIA A100-SXM4-80GB": Peak(312e12, 19.5e12, 2.039e12),
    "NVIDIA A100-SXM4-40GB": Peak(312e12, 19.5e12, 1.555e12),
    "NVIDIA A100 80GB PCIe": Peak(312e12, 19.5e12, 1.935e12),
    "NVIDIA A100-PCIE-40GB": Peak(312e12, 19.5e12, 1.555e12),
    "NVIDIA L40S": Peak(362e12, 91.6e12, 0.864e12),
    "NVIDIA L4": Peak(121e12, 30.3e12, 0.3e12),
    "Tesla V100-SXM2-16GB": Peak(None, 15.7e12, 0.9e12),
    "Tesla V100-SXM2-32GB": Peak(None, 15.7e12, 0.9e12),
    "Tesla T4": Peak(None, 8.1e12, 0.32e12),
    "TPU v4": Peak(275e12, None, 1.228e12),
    "TPU v5 lite": Peak(197e12, None, 0.819e12),
    "TPU v5": Peak(459e12, None, 2.765e12),
    "TPU v5p": Peak(459e12, None, 2.765e12),
    "TPU v6 lite": Peak(918e12, None, 1.6e12),
    "TPU7x": Peak(1153.5e12, None, 3.69e12),
}
_UNKNOWN = Peak(None, None, None)


def operations(kind: str, dtype: str) -> tuple[float | None, str]:
    """Peak operations per second of one device, and where the number is from; None if unknown.

    Args:
      kind: the device's `device_kind`. Only exact names count: cards of one family differ.
      dtype: dtype that the network computes in.

    Raises:
      InputError: ADAPT_JAX_PEAK_FLOPS, which wins, is no positive number.
    """
    if given := os.environ.get(VARIABLE):
        try:
            value = float(given)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise InputError(
                f"{VARIABLE} is the device's peak in operations per second, such as 1e12, got "
                f"{given!r}"
            )
        return value, f"${VARIABLE}"
    value = PEAKS.get(kind, _UNKNOWN)._asdict().get(dtype)
    return value, f"data sheet, {dtype}" if value else f"unknown; give ${VARIABLE}"


def bandwidth(kind: str) -> float | None:
    """Peak bytes per second between a device and its memory; None if unknown."""
    return PEAKS.get(kind, _UNKNOWN).memory
