"""The parts of a stored program that was compiled for an H100, shortened."""

import pathlib

import pytest

from adapt_jax.profiling import hlo
from benchmarks import chips, device_program, hlo_kernels
from benchmarks.hlo_kernels import Kernel, size

CONV = "__cudnn$conv"
BATCH, ACTIVATIONS, WEIGHTS = 512 * 32 * 32 * 3, 2 * 1024 * 32 * 32 * 64, 2 * 64 * 3 * 3 * 64


@pytest.fixture(scope="module")
def program():
    return hlo.parse((pathlib.Path(__file__).parent / "hopper_step.hlo").read_text())


def test_a_step_is_the_loop_of_unknown_length(program):
    found = [(k.kind, k.phase, k.times, k.bytes) for k in hlo_kernels.per_step(program)]
    assert found == [
        # Of the whole set, the rows that are taken; and their numbers.
        ("fusion:kLoop", "other", 1, 2 * BATCH + 4 * 512),
        ("fusion:kLoop", "augment", 3, 2 * BATCH),
        (f"{CONV}Forward", "forward", 1, 2 * ACTIVATIONS + WEIGHTS),
        (f"{CONV}BackwardInput", "backward", 1, 2 * ACTIVATIONS + WEIGHTS),
        (f"{CONV}BackwardFilter", "backward", 1, 2 * ACTIVATIONS + WEIGHTS),
        # In place: one number is read, with its place, and written.
        ("fusion:kLoop", "update", 1, 4 + 4 + 4),
    ]


def test_a_librarys_convolutions_are_counted_as_products(program):
    assert hlo.matrix_flops(program)[1] == 3 * (2 * 1024 * 32 * 32 * 64 * 9 * 64)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("bf16[2,3]{1,0}", 12),
        ("(f32[4]{0}, /*index=1*/pred[], s8[3]{0})", 20),
        ("f32[4,128]{1,0:T(8,128)S(1)}", 0),  # on the chip
        ("f32[4,100]{1,0:T(8,128)}", 4 * 8 * 128),  # whole tiles
        ("bf16[3,5,100]{0,2,1:T(8,128)(2,1)}", 2 * 128 * 5 * 104),
        ("f32[100]{0:T(128)}", 400),
    ],
)
def test_bytes_are_those_of_the_devices_memory(written, expected):
    assert size(written) == expected


def test_operands_end_where_the_arguments_do():
    line = '  %a = f32[2]{0} add(f32[2]{0:T(8,128)} %b, f32[2]{0} %c), metadata={op_name="%d"}'
    parsed = hlo.parse(f"HloModule m\n\nENTRY main {{\n{line}\n}}\n")
    assert parsed.computations["main"][0].operands == ["b", "c"]


def test_products_of_libraries_and_with_zeros_between():
    lines = [
        "%a = f32[8,4]{1,0} parameter(0)",
        "%b = f32[4,6]{1,0} parameter(1)",
        "%g = bf16[2,4,4,3]{3,2,1,0} parameter(2)",
        "%k = bf16[3,3,3,5]{3,2,1,0} parameter(3)",
        "%c = bf16[2,8,8,5]{3,2,1,0} convolution(%g, %k), window={size=3x3 pad=1_2x1_2 "
        "lhs_dilate=2x2}, dim_labels=b01f_01io->b01f",
        'ROOT %d = (f32[8,6]{1,0}, s8[64]{0}) custom-call(%a, %b), custom_call_target="__cublas$'
        'gemm", backend_config={"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}',
    ]
    text = "\n".join(["HloModule m", "", "ENTRY %main {", *(f"  {line}" for line in lines), "}"])
    gemm, conv = 2 * 8 * 6 * 4, 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3) / 4
    assert hlo.matrix_flops(hlo.parse(text)) == (gemm + conv, gemm + conv)


def test_the_tables():
    kernels = [
        Kernel("fusion:kLoop", 2_000_000_000, 3, "forward", "jit(f)/forward/conv1/add"),
        Kernel("copy", 1_000_000_000, 1, "other", ""),
    ]
    chip = chips.CHIPS["h100"]
    total = device_program.summary(kernels, 79e12, 2**30, chip).splitlines()[-1]
    assert total == "| 4 | 7.00 | 2.33 | 79.000 | 100.00 | 1.00 |"
    rows = device_program.groups("phase", kernels, lambda k: k.phase).splitlines()
    assert rows[2:] == ["| forward | 3 | 6.000 |", "| other | 1 | 1.000 |"]
    rows = device_program.largest(kernels, 1).splitlines()
    assert rows[2:] == ["| 2000.0 | 3 | fusion:kLoop | forward: forward/conv1/add |"]
