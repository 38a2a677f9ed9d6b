"""What an accelerator would execute for a step, compiled on a machine that has none.

    pip install "jax[cuda13]"          # for h100 and h200, 3 GB; "jax[tpu]" for v5e and v6e
    python -m benchmarks.device_program --config=configs/cifar10_adapt.py --chip=h100
    python -m benchmarks.device_program --scoring=knn --chip=h200

Prints kernels, bytes and FLOPs of a training step of any config, or of one of the scoring steps of
`scoring_programs`: by kind of kernel, by phase, and the largest kernels. The roofline is the time
that these bytes and FLOPs take at the speed of `chips`. Nothing runs and no data is needed. Use it
to find convolutions in the wrong layout or type, copies, and kernels that should be one.
"""

import collections
import os
import pathlib
import time
from collections.abc import Callable, Sequence

import jax
from absl import flags

from adapt_jax.profiling import hlo
from adapt_jax.profiling.summary import tail
from adapt_jax.runtime import cli, sharding
from benchmarks import chips, hlo_kernels, scoring_programs, training_program
from benchmarks.hlo_kernels import Kernel


def main() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    jax.config.update("jax_platforms", "cpu")
    jax.config.update(
        "jax_enable_compilation_cache", False
    )  # it asks the device, which is not there
    chip = chips.CHIPS[CHIP.value]
    mesh = sharding.make_mesh(chips.devices(chip)[:1])
    began = time.perf_counter()
    if SCORING.value:
        what, compiled = SCORING.value, scoring_programs.compile_for(SCORING.value, mesh)
    else:
        config = cli.required(CONFIG)
        what = (
            f"{config.method.name}, {config.model.name}, {config.batch_size} images x "
            f"{config.views} views of {config.image_size}"
        )
        data = training_program.Data(NUM_IMAGES.value, NUM_CLASSES.value)
        compiled = training_program.compile_loop(config, mesh, data)
    text = compiled.as_text()
    if HLO.value:
        pathlib.Path(HLO.value).write_text(text)
    program = hlo.parse(text)
    kernels = hlo_kernels.per_step(program, whole=SCORING.value is not None)
    print(
        f"{what} on {chip.name}, jax {jax.__version__}, compiled in "
        f"{time.perf_counter() - began:.0f} s\n"
    )
    temporaries = compiled.memory_analysis().temp_size_in_bytes
    print(summary(kernels, hlo.matrix_flops(program)[1], temporaries, chip))
    print("\n" + groups("phase", kernels, lambda k: k.phase))
    print("\n" + groups("kind", kernels, lambda k: k.kind))
    print("\n" + largest(kernels, LARGEST.value))


def summary(kernels: Sequence[Kernel], flops: float, temporaries: int, chip: chips.Chip) -> str:
    """Totals of a step and their roofline, as a Markdown table."""
    moved = sum(k.bytes * k.times for k in kernels)
    head = "| kernels | GB moved | ms of memory | TFLOP | ms of arithmetic | temporaries, GiB |"
    return "\n".join(
        [
            head,
            "| ---: " * 6 + "|",
            f"| {sum(k.times for k in kernels)} | {moved / 1e9:.2f} "
            f"| {1e3 * moved / chip.copied:.2f} | {flops / 1e12:.3f} "
            f"| {1e3 * flops / chip.operations:.2f} | {temporaries / 2**30:.2f} |",
        ]
    )


def groups(title: str, kernels: Sequence[Kernel], key: Callable[[Kernel], str]) -> str:
    """Kernels and gigabytes by `key`, as a Markdown table, the most bytes first."""
    found = collections.defaultdict(list)
    for kernel in kernels:
        found[key(kernel)].append(kernel)
    totals = {
        name: (sum(k.times for k in group), sum(k.bytes * k.times for k in group))
        for name, group in found.items()
    }
    lines = [f"| {title} | kernels | GB |", "| --- | ---: | ---: |"]
    for name, (count, moved) in sorted(totals.items(), key=lambda item: -item[1][1]):
        lines.append(f"| {name} | {count} | {moved / 1e9:.3f} |")
    return "\n".join(lines)


def largest(kernels: Sequence[Kernel], count: int) -> str:
    """The kernels that move most, as a Markdown table."""
    lines = ["| MB | times | kind | from |", "| ---: | ---: | --- | --- |"]
    for k in sorted(kernels, key=lambda k: -k.bytes * k.times)[:count]:
        lines.append(f"| {k.bytes / 1e6:.1f} | {k.times} | {k.kind} | {k.phase}: {tail(k.name)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    CONFIG = cli.define_config()
    SCORING = flags.DEFINE_enum(
        "scoring", None, scoring_programs.PROGRAMS, "A scoring step instead."
    )
    CHIP = flags.DEFINE_enum("chip", "h100", chips.CHIPS, "What to compile for.")
    NUM_IMAGES = flags.DEFINE_integer("num_images", 50_000, "Training images.", lower_bound=1)
    NUM_CLASSES = flags.DEFINE_integer("num_classes", 10, "Their classes.", lower_bound=2)
    LARGEST = flags.DEFINE_integer("largest", 15, "How many kernels to list.", lower_bound=0)
    HLO = flags.DEFINE_string("hlo", "", "File for the compiled program's text.")
    cli.run(main)
