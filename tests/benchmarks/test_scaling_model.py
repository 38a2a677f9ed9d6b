import jax
import pytest

from adapt_jax.config import default_config
from adapt_jax.core.errors import InputError
from adapt_jax.runtime import sharding
from benchmarks import chips, scaling_program, scaling_tables, scaling_time
from benchmarks.hlo_collectives import (
    GRADIENTS,
    INPUTS,
    STATISTICS,
    STATISTICS_BACK,
    Collective,
)
from benchmarks.scaling_program import Cost, Data, Program
from benchmarks.scaling_time import Assumptions, Measured, predict

BATCH, VIEWS, WIDTH, DIM = 16, 2, 4, 8


@pytest.fixture(scope="module")
def config():
    config = default_config("adapt")
    config.model.name, config.model.width, config.model.blocks = "resnet18", WIDTH, (1, 1, 1, 1)
    config.model.embedding_dim, config.image_size, config.batch_size = DIM, 8, BATCH
    return config


@pytest.fixture(scope="module")
def program(config):
    return scaling_program.analyse(config, sharding.make_mesh(), Data(64, 3))


def payload(program, *sources):
    return sum(c.times * c.payload for c in program.collectives if c.source in sources)


def channels():
    """Of every batch normalisation: the stem's, two in each block, one in three shortcuts."""
    widths = [WIDTH * 2**stage for stage in range(4)]
    return WIDTH + sum(2 * w for w in widths) + sum(widths[1:])


def test_the_compiled_step_sends_what_the_algorithm_needs(program):
    assert {c.group for c in program.collectives} == {8}
    # Mean and square of every channel, float32.
    assert payload(program, STATISTICS) == 4 * 2 * channels()
    # Every parameter's gradient once. The backward pass of a batch normalisation waits for two
    # sums per channel, one of which is the gradient of its bias.
    assert payload(program, GRADIENTS, STATISTICS_BACK) == 4 * (program.parameters + channels())
    # All embeddings and labels, to everyone.
    assert payload(program, INPUTS) == 4 * (BATCH * VIEWS * DIM + BATCH)
    assert sum(c.payload for c in program.collectives) == payload(
        program, STATISTICS, GRADIENTS, STATISTICS_BACK, INPUTS
    )


def test_the_compilers_flops_are_those_of_the_network_and_the_loss(program):
    # Fewer: no gradient towards the images, no products with padding. More: the elementwise ones.
    counted = program.network_flops / program.devices + program.loss.flops
    assert 0.5 * counted < program.flops < 2 * counted


def test_the_loss_grows_with_the_whole_batch(config):
    cost = scaling_program.alone(config, Data(64, 3)).loss
    config = config.copy_and_resolve_references()
    config.batch_size = 4 * BATCH
    larger = scaling_program.alone(config, Data(64, 3)).loss
    assert 2 * cost.flops < larger.flops < 5 * cost.flops


def test_a_batch_that_does_not_split_is_refused(config):
    mesh = sharding.make_mesh(jax.devices()[:3])
    with pytest.raises(InputError, match="not divisible by the 3 devices"):
        scaling_program.analyse(config, mesh, Data(64, 3))


CHIP = chips.Chip("toy", 100.0, 10.0, 1000.0, 1e9, 50.0, 2, 16, 256, "")
ASSUMED = Assumptions(share_of_peak=0.5, share_of_link=0.2, overhead=0.1, hop=0.01)


def toy(devices, batch, *collectives):
    return Program(devices, batch, list(collectives), 0.0, 500.0 * batch, 25, Cost(5.0 * batch, 40))


def all_reduce(payload, group, times=1):
    return Collective("all-reduce", payload, 1, ("f32",), group, times, GRADIENTS, "")


def test_the_parts_of_a_step_by_hand():
    times = predict(toy(8, 4, all_reduce(80, 8, times=3)), CHIP, ASSUMED)
    assert times.network == pytest.approx(2000 / 50 / 8)
    assert times.loss == pytest.approx(20 / 10)  # 20 FLOP take longer than 40 bytes
    assert times.update == pytest.approx(6 * 4 * 25 / 1000)
    assert times.bandwidth == pytest.approx(3 * 2 * 7 / 8 * 80 / 10)
    assert times.latency == pytest.approx(3 * (0.1 + 0.01 * 2 * (1 + 3)))  # 2 x 4 without rings
    assert times.step == pytest.approx(sum(times))


def test_a_measured_step_is_reproduced_and_scaled():
    reference = toy(1, 4)
    measured = Measured(batch=4, step=7.0, loss=2.0, update=1.0)
    given = {"measured": measured, "reference": reference}
    assert predict(reference, CHIP, ASSUMED, **given).step == pytest.approx(7.0)
    double = predict(toy(1, 8), CHIP, ASSUMED, **given)
    assert (double.network, double.loss, double.update) == pytest.approx((8.0, 4.0, 1.0))
    split = predict(toy(2, 8), CHIP, ASSUMED, **given)
    assert (split.network, split.loss, split.update) == pytest.approx((4.0, 4.0, 1.0))
    with pytest.raises(InputError, match="nothing for the network"):
        predict(toy(1, 4), CHIP, ASSUMED, Measured(4, step=2.0, loss=2.0), reference)


def test_efficiency_is_one_without_fixed_parts():
    one, many = toy(1, 8), toy(4, 8)
    alone = scaling_time.Times(8.0, 0, 0, 0, 0)
    assert scaling_time.efficiency(one, alone, many, scaling_time.Times(2.0, 0, 0, 0, 0)) == 1
    assert scaling_time.efficiency(one, alone, many, scaling_time.Times(2.0, 2.0, 0, 0, 0)) == 0.5


def test_the_tables_show_one_row_per_purpose_and_per_number_of_chips():
    step = toy(8, 4, all_reduce(80, 8, times=3), all_reduce(20, 8))
    lines = scaling_tables.collectives(step).splitlines()
    assert lines[2] == "| gradients | all-reduce | f32 | 4 | 4 | 260 | 455 |"
    assert lines[3] == "| all |  |  | 4 | 4 | 260 | 455 |"
    one, small = toy(1, 4), CHIP._replace(most=8)
    rows = scaling_tables.prediction(
        [small], one, [step, toy(64, 64)], assumed=ASSUMED, measured=None, reference=None
    ).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["1", "8"]  # 64 do not fit its network
    assert rows[0].endswith("100 % |")


@pytest.mark.parametrize(
    ("name", "devices", "shape", "hops"),
    [
        ("v5e", 8, (2, 4), 2 * (1 + 3)),
        ("v6e", 64, (8, 8), 2 * (7 + 7)),
        ("v6e", 256, (16, 16), 2 * (8 + 8)),  # closed to rings
        ("v5p", 64, (4, 4, 4), 2 * 3 * 2),
        ("v5p", 256, (4, 8, 8), 2 * (2 + 4 + 4)),
    ],
)
def test_hops_across_a_torus(name, devices, shape, hops):
    chip = chips.get(name)
    assert chips.shape(devices, chip.torus) == shape
    assert chips.hops(chip, devices) == hops


def test_an_unknown_chip_names_the_known_ones():
    with pytest.raises(InputError, match="v5e, v6e, v5p, h100, h200"):
        chips.get("v9")
