"""Accelerators that JAX can compile for without one: what they are called, and how fast they are.

A GPU is described to the compiler in full, here with the figures that an H100 and an H200 report.
TPUs are known to libtpu by name. cuDNN's choice of algorithms and Triton's autotuning need the real
device, so kernels and bytes are those of the real program and times are not to be had.
"""

from typing import NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.profiling import device_peaks

_HOPPER = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 l2_cache_size: 52428800
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth} device_memory_size: {memory}
  cuda_compute_capability {{ major: 9 }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 12 }}
runtime_version {{ major: 13 }}
device_description_str: "{name}"
"""


class Chip(NamedTuple):
    """One kind of accelerator.

    name: JAX's `device_kind`, a key of `device_peaks.PEAKS`. topology: what libtpu calls one of
    them, "" for a GPU. memory, bandwidth: bytes and bytes per second that a GPU reports.
    operations, copied: bfloat16 operations, and bytes, per second for the roofline: measured for
    GPUs (a product of 8192 x 8192 matrices; a copy within the device's memory), for TPUs the data
    sheet's.
    """

    name: str
    topology: str
    memory: int
    bandwidth: int
    operations: float
    copied: float


def _tpu(name: str, topology: str) -> Chip:
    peak = device_peaks.PEAKS[name]
    return Chip(name, topology, 0, 0, peak.bfloat16, peak.memory)


CHIPS = {
    "h100": Chip("NVIDIA H100 80GB HBM3", "", 84929347584, 3352320000000, 790e12, 3.0e12),
    "h200": Chip("NVIDIA H200", "", 150754820096, 4917000000000, 790e12, 4.3e12),
    "v5e": _tpu("TPU v5 lite", "v5e:2x2"),
    "v6e": _tpu("TPU v6 lite", "v6e:2x2"),
}


def devices(chip: Chip) -> list:
    """Devices to compile for: one GPU, or the TPUs of the smallest slice.

    Raises:
      InputError: what JAX needs to compile for this chip is not installed.
    """
    from jax.experimental import topologies

    options = {"platform": "tpu", "topology_name": chip.topology}
    if not chip.topology:
        target = _HOPPER.format(bandwidth=chip.bandwidth, memory=chip.memory, name=chip.name)
        options = {"platform": "cuda", "target_config": target, "topology": "1x1x1"}
    try:
        return list(topologies.get_topology_desc(**options).devices)
    except (RuntimeError, ValueError) as e:
        package = "jax[tpu]" if chip.topology else "jax[cuda13]"
        raise InputError(
            f"JAX cannot compile for {chip.name} here ({str(e).splitlines()[0]}); "
            f'install "{package}"'
        ) from e
