"""What the devices of a training step send and compute, read from the compiled program.

    python -m benchmarks.scaling --config=configs/cifar100_adapt.py --num_classes=100
    python -m benchmarks.scaling --config=configs/cifar100_adapt.py --topology=v6e:2x4

Compiles the training loop for simulated devices on this machine's CPU, or for TPUs that are not
there (with libtpu); nothing runs and no data is needed. docs/scaling.md explains the tables.
"""

from collections.abc import Sequence

import jax
from absl import flags

from adapt_jax.core.errors import InputError
from adapt_jax.runtime import cli, sharding
from benchmarks import training_program
from benchmarks.hlo_collectives import SOURCES
from benchmarks.training_program import Data, Program


def main() -> None:
    config, data = cli.required(CONFIG), Data(NUM_IMAGES.value, NUM_CLASSES.value)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", DEVICES.value)
    mesh = sharding.make_mesh(_tpus(TOPOLOGY.value) if TOPOLOGY.value else jax.devices("cpu"))
    program = training_program.analyse(config, mesh, data)
    print(
        f"{config.method.name}, {config.model.name}, {config.image_size} x {config.image_size}, "
        f"{config.views} views, {program.parameters:,} parameters, {program.batch:,} images on "
        f"{program.devices} devices, jax {jax.__version__}\n\n{collectives(program)}\n\n"
        f"{flops(program)}"
    )


def collectives(program: Program) -> str:
    """What each device sends in a step, by what it is for, as a Markdown table."""
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
    return _table(head, rows, 3)


def flops(program: Program) -> str:
    """FLOPs of a step, by the compiler and by counting products, as a Markdown table."""
    head = (
        "GFLOP of each device, by the compiler", "GFLOP of its network, 3 x forward",
        "GFLOP of the loss", "GB the loss reads and writes",
    )  # fmt: skip
    network = program.network_flops / program.devices
    found = (program.flops, network, program.loss.flops, program.loss.bytes)
    return _table(head, [[f"{value / 1e9:,.2f}" for value in found]], 0)


def _row(source, kind, dtypes, found):
    totals = [
        sum(c.times for c in found),
        sum(c.times * c.arrays for c in found),
        sum(c.times * c.payload for c in found),
        round(sum(c.times * c.sent for c in found)),
    ]
    return (source, kind, dtypes, *(f"{n:,}" for n in totals))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], left: int) -> str:
    """A Markdown table whose first `left` columns are text and whose others are numbers."""
    marks = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, marks, *rows))


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


if __name__ == "__main__":
    CONFIG = cli.define_config()
    NUM_IMAGES = flags.DEFINE_integer("num_images", 50_000, "Training images.", lower_bound=1)
    NUM_CLASSES = flags.DEFINE_integer("num_classes", 100, "Their classes.", lower_bound=2)
    DEVICES = flags.DEFINE_integer("devices", 8, "How many simulated devices.", lower_bound=1)
    TOPOLOGY = flags.DEFINE_string("topology", None, "Compile for these TPUs, as v6e:2x4 (libtpu).")
    cli.run(main)
