"""Bytes and FLOPs of a training step, read from the compiled program, and the speed they predict.

    python -m benchmarks.scaling_model --config=configs/cifar100_adapt.py --num_classes=100
    python -m benchmarks.scaling_model --config=... --chips=h100 --devices=8 --step_seconds=0.123

Compiles the training loop for simulated devices on this machine's CPU; nothing runs and no data is
needed. `--step_seconds` puts a measured step of one accelerator in the place of the assumed one;
`python -m benchmarks.scaling_measure` measures it. docs/scaling.md explains the tables.
"""

import copy
import pathlib
import sys
import time

import jax
from absl import flags

from adapt_jax.core.errors import InputError
from adapt_jax.runtime import cli, sharding
from benchmarks import chips, scaling_program, scaling_tables
from benchmarks.scaling_program import Data
from benchmarks.scaling_time import Assumptions, Measured

CONFIG = cli.define_config()
NUM_IMAGES = flags.DEFINE_integer("num_images", 50_000, "Training images.", lower_bound=1)
NUM_CLASSES = flags.DEFINE_integer("num_classes", 100, "Their classes.", lower_bound=2)
CHIPS = flags.DEFINE_list("chips", "v5e,v6e,h100", f"Of {', '.join(chips.CHIPS)}.")
DEVICES = flags.DEFINE_list("devices", "8,64,256", "How many of them.")
WEAK = flags.DEFINE_integer(
    "images_per_device", None, "For weak scaling; None: batch / devices[0]."
)
PEAK = flags.DEFINE_float("share_of_peak", 0.3, "Assumed: of a chip's peak FLOP/s.", 1e-6, 1)
LINK = flags.DEFINE_float("share_of_link", 0.5, "Assumed: of its links, by large arrays.", 1e-6, 1)
OVERHEAD = flags.DEFINE_float("overhead_us", 5.0, "Assumed: microseconds of any collective.", 0)
HOP = flags.DEFINE_float("hop_us", 1.0, "Assumed: microseconds of each link it crosses.", 0)
STEP = flags.DEFINE_float("step_seconds", None, "Measured: a step of one device.", 0)
BATCH = flags.DEFINE_integer("measured_batch", None, "Images of it; None: the config's batch.", 1)
LOSS = flags.DEFINE_float("loss_seconds", None, "Measured: of it, the loss; None: estimated.", 0)
UPDATE = flags.DEFINE_float("update_seconds", None, "Measured: of it, the update; likewise.", 0)
TOPOLOGY = flags.DEFINE_string("topology", None, "Compile for these TPUs, as v6e:2x4 (libtpu).")
OUT = flags.DEFINE_string("out", None, "File for the tables; None prints them.")


def main() -> None:
    config = cli.required(CONFIG)
    data = Data(NUM_IMAGES.value, NUM_CLASSES.value)
    counts = _counts(DEVICES.value)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(counts))
    if TOPOLOGY.value:
        mesh = sharding.make_mesh(_tpus(TOPOLOGY.value))
        return _write(scaling_tables.collectives(scaling_program.analyse(config, mesh, data)))
    for n in counts:  # before the first of them is compiled
        sharding.check_batch(sharding.make_mesh(jax.devices("cpu")[:n]), config.batch_size)
    kinds = [chips.get(name) for name in CHIPS.value]
    assumed = Assumptions(PEAK.value, LINK.value, OVERHEAD.value * 1e-6, HOP.value * 1e-6)
    measured = reference = None
    if STEP.value is not None:
        if len(kinds) != 1:
            raise InputError("--step_seconds is of one kind of chip: name it with --chips")
        measured = Measured(BATCH.value or config.batch_size, STEP.value, LOSS.value, UPDATE.value)
        reference = scaling_program.alone(_with_batch(config, measured.batch), data)
    per_device = WEAK.value or max(config.batch_size // counts[0], 1)

    def programs(batch):
        """Of each number of devices; one of each size is compiled once."""
        return [_analyse(_with_batch(config, batch(n)), n, data, cache) for n in counts]

    cache = {}
    strong, weak = programs(lambda n: config.batch_size), programs(lambda n: n * per_device)
    alone = [
        scaling_program.alone(_with_batch(config, b), data) for b in (config.batch_size, per_device)
    ]
    predict = {"assumed": assumed, "measured": measured, "reference": reference}
    _write(scaling_tables.report(config, kinds, alone[0], strong, alone[1], weak, **predict))


def _analyse(config, devices, data, cache):
    key = devices, config.batch_size
    if key not in cache:
        began = time.perf_counter()
        mesh = sharding.make_mesh(jax.devices("cpu")[:devices])
        cache[key] = scaling_program.analyse(config, mesh, data)
        seconds = time.perf_counter() - began
        print(f"{devices} devices, {config.batch_size} images: {seconds:.0f} s", file=sys.stderr)
    return cache[key]


def _with_batch(config, batch: int):
    config = copy.deepcopy(config)
    config.batch_size = batch
    return config


def _counts(texts) -> list[int]:
    if not all(text.isdigit() and int(text) > 0 for text in texts):
        raise InputError(f"--devices takes numbers such as 8,64,256, got {','.join(texts)!r}")
    return sorted(int(text) for text in texts)


def _tpus(name: str):
    """Devices of a TPU that is not there, to compile for."""
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(name, platform="tpu").devices
    except (RuntimeError, ValueError) as e:
        raise InputError(
            f"--topology={name}: {str(e).splitlines()[0]}; it needs "
            "libtpu (pip install libtpu) and a name such as v6e:2x4 or v5e:8x8"
        ) from e


def _write(text: str) -> None:
    if OUT.value:
        pathlib.Path(OUT.value).write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    cli.run(main)
