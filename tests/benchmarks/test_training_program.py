import jax
import pytest

from adapt_jax.config import default_config
from adapt_jax.core.errors import InputError
from adapt_jax.runtime import sharding
from benchmarks import scaling, training_program
from benchmarks.hlo_collectives import (
    GRADIENTS,
    INPUTS,
    STATISTICS,
    STATISTICS_BACK,
    Collective,
)
from benchmarks.training_program import Cost, Data, Program

BATCH, VIEWS, WIDTH, DIM = 16, 2, 4, 8


@pytest.fixture(scope="module")
def config():
    config = default_config("adapt")
    config.model.name, config.model.width, config.model.blocks = "resnet18", WIDTH, (1, 1, 0, 0)
    config.model.embedding_dim, config.image_size, config.batch_size = DIM, 8, BATCH
    return config


@pytest.fixture(scope="module")
def program(config):
    return training_program.analyse(config, sharding.make_mesh(), Data(64, 3))


def payload(program, *sources):
    return sum(c.times * c.payload for c in program.collectives if c.source in sources)


def channels():
    """Of every batch normalisation: the stem's, two in each block, one in a shortcut."""
    widths = [WIDTH * 2**stage for stage in range(2)]
    return WIDTH + sum(2 * w for w in widths) + sum(widths[1:])


def test_the_compiled_step_sends_what_the_algorithm_needs(program):
    assert {c.group for c in program.collectives} == {8}
    # Mean and square of every channel, float32.
    assert payload(program, STATISTICS) == 4 * 2 * channels()
    # Every parameter's gradient once. The two sums per channel that the backward pass of a batch
    # normalisation waits for are the gradients of its scale and its bias.
    assert payload(program, GRADIENTS, STATISTICS_BACK) == 4 * program.parameters
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
    cost = training_program.alone(config, Data(64, 3)).loss
    config = config.copy_and_resolve_references()
    config.batch_size = 4 * BATCH
    larger = training_program.alone(config, Data(64, 3)).loss
    assert 2 * cost.flops < larger.flops < 5 * cost.flops


def test_a_batch_that_does_not_split_is_refused(config):
    mesh = sharding.make_mesh(jax.devices()[:3])
    with pytest.raises(InputError, match="not divisible by the 3 devices"):
        training_program.analyse(config, mesh, Data(64, 3))


def all_reduce(payload, group, times=1):
    return Collective("all-reduce", payload, 1, ("f32",), group, times, GRADIENTS, "")


def test_the_tables_show_one_row_per_purpose():
    sent = [all_reduce(80, 8, times=3), all_reduce(20, 8)]
    step = Program(8, 4, sent, 1e9, 16e9, 25, Cost(3e9, 4e9))
    lines = scaling.collectives(step).splitlines()
    assert lines[2] == "| gradients | all-reduce | f32 | 4 | 4 | 260 | 455 |"
    assert lines[3] == "| all |  |  | 4 | 4 | 260 | 455 |"
    assert scaling.flops(step).splitlines()[-1] == "| 1.00 | 2.00 | 3.00 | 4.00 |"
