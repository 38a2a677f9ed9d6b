import pytest

from benchmarks.hlo_collectives import (
    GRADIENTS,
    INPUTS,
    OTHER,
    STATISTICS,
    STATISTICS_BACK,
    per_step,
)

STEP = "jit(loop)/while/body"
MESH = "replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}"


def program(*lines, inner=()):
    """A loop of unknown length around `lines`; `inner` is a loop of 3 passes within it."""
    return "\n".join(
        [
            "HloModule jit_loop, is_scheduled=true, num_partitions=8",
            "",
            "%add (a: f32[], b: f32[]) -> f32[] {",
            "  ROOT %sum = f32[] add(%a, %b)",
            "}",
            "",
            "%inner (p: (s32[])) -> (s32[]) {",
            *inner,
            "}",
            "",
            "%body.1 (p: (s32[], f32[4])) -> (s32[], f32[4]) {",
            *lines,
            '  %w = (s32[]) while(%t), condition=%c, body=%inner, backend_config={"known_trip_count'
            '":{"n":"3"}}',
            "}",
            "",
            "ENTRY %main (p: s32[]) -> s32[] {",
            "  %outside = f32[100]{0} all-reduce(%x), replica_groups={}, to_apply=%add",
            "  %while.2 = (s32[], f32[4]) while(%tuple), condition=%cond, body=%body.1",
            "}",
        ]
    )


def reduce_line(shape, name, groups=MESH, suffix=""):
    return (
        f"  %all-reduce{suffix}.1 = {shape} all-reduce{suffix}(%a, %b), channel_id=4, {groups}, "
        f'to_apply=%add, metadata={{op_name="{STEP}/{name}" stack_frame_id=4}}'
    )


def one(line):
    (found,) = per_step(program(line))
    return found


def test_a_combined_all_reduce_counts_every_array():
    found = one(
        reduce_line(
            "(f32[16]{0:T(128)S(1)}, bf16[3,3,2,16]{3,2,1,0:T(8,128)(2,1)}, /*index=2*/f32[])",
            "transpose(jvp(Network))/encoder/(bn1/reduce_sum:conv1/conv_general_dilated)",
        )
    )
    assert found.payload == 16 * 4 + 3 * 3 * 2 * 16 * 2 + 4
    assert (found.arrays, found.dtypes, found.group) == (3, ("bf16", "f32"), 8)
    assert found.source == GRADIENTS
    assert found.sent == 2 * 7 / 8 * found.payload


@pytest.mark.parametrize(
    ("shape", "name", "source"),
    [
        ("(f32[16]{0}, f32[16]{0})", "jvp(Network)/encoder/bn1/reduce_sum", STATISTICS),
        ("f32[16]{0}", "jvp(Network)/encoder/layer2_0/shortcut_bn/reduce_sum", STATISTICS),
        ("f32[16]{0}", "transpose(jvp(Network))/encoder/layer1_0/bn2/reduce_sum", STATISTICS_BACK),
        (
            "(f32[16]{0}, f32[8,8]{1,0})",
            "transpose(jvp(Network))/encoder/bn1/reduce_sum",
            GRADIENTS,
        ),
        ("f32[8]{0}", "transpose(jvp(Network))/head/output/reduce_sum", GRADIENTS),
        ("s32[64]{0}", "gather", INPUTS),
        ("f32[]", "reduce_sum", OTHER),
    ],
)
def test_what_an_all_reduce_is_for(shape, name, source):
    assert one(reduce_line(shape, name)).source == source


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("replica_groups={{0,1},{2,3},{4,5},{6,7}}", 2),
        ("replica_groups=[2,4]<=[8]", 4),
        ("replica_groups=[2,4]<=[4,2]T(1,0)", 4),
        ("replica_groups=mesh['a'=2,'b'=4] {'b'}", 4),
        ("replica_groups=mesh['a'=2,'b'=4] {'a','b':(2)2}", 4),
        ("replica_groups={}", 8),
    ],
)
def test_how_many_take_part(groups, size):
    assert one(reduce_line("f32[4]{0}", "reduce_sum", groups)).group == size


def test_asynchronous_collectives_count_once_and_by_their_result():
    found = per_step(
        program(
            "  %ag = (s32[8]{0}, s32[64]{0:T(128)S(1)}) all-gather-start(%x), channel_id=2, "
            f'{MESH}, dimensions={{0}}, metadata={{op_name="{STEP}/gather"}}',
            "  %done = s32[64]{0} all-gather-done(%ag)",
            reduce_line("(f32[4]{0}, f32[6]{0})", "reduce_sum", suffix="-start"),
            "  %d2 = (f32[4]{0}, f32[6]{0}) all-reduce-done(%all-reduce-start.1)",
            "  %rs = ((f32[64]{0}), f32[8]{0}) reduce-scatter-start(%y), "
            f"{MESH}, dimensions={{0}}, calls=%inner",
            "  %cp = (f32[5]{0}, f32[5]{0}, u32[], u32[]) collective-permute-start(%z), "
            "source_target_pairs={{0,1},{1,2},{2,0}}",
        )
    )
    assert [(c.kind, c.payload, c.group, c.times) for c in found] == [
        ("all-gather", 256, 8, 1),
        ("all-reduce", 40, 8, 1),
        ("reduce-scatter", 256, 8, 1),
        ("collective-permute", 20, 3, 1),
    ]
    assert [c.sent for c in found] == [224, 70, 224, 20]


def test_a_loop_within_the_step_counts_each_pass_and_what_is_outside_does_not():
    line = reduce_line("f32[4]{0}", "reduce_sum")
    assert [c.times for c in per_step(program(line, inner=[line]))] == [1, 3]


def test_what_a_fusion_calls_counts():
    text = program("  %f = f32[4]{0} fusion(%a), kind=kCustom, calls=%fused, metadata={}")
    line = reduce_line("f32[4]{0}", "reduce_sum")
    assert len(per_step(text + f"\n\n%fused (a: f32[4]) -> f32[4] {{\n{line}\n}}\n")) == 1


def test_no_hlo_is_refused():
    with pytest.raises(ValueError, match="ENTRY"):
        per_step("module @jit_loop {}")
