"""The time of a step on N devices, as a sum of its parts, and what that makes of N devices.

network   shrinks with the images per device: FLOPs over a share of the peak, or measured
loss      every device computes it for the whole batch: it does not shrink
update    of all parameters, on every device: it does not shrink
collectives  one after the other, none hidden behind the network: ring bytes over a share of
          the links, plus a fixed cost and the hops of each
"""

from typing import NamedTuple

from adapt_jax.core.errors import InputError
from benchmarks import chips
from benchmarks.chips import Chip
from benchmarks.hlo_collectives import Collective
from benchmarks.scaling_program import Cost, Program

# float32 numbers that gradient norm and SGD with momentum read or write for each parameter: the
# gradient twice; parameter and momentum, each in and out.
UPDATE_PASSES = 6


class Assumptions(NamedTuple):
    """What no data sheet says.

    share_of_peak: of the bfloat16 peak that the network reaches. share_of_link: of the links that
    large collectives reach. overhead, hop: seconds of each collective, and of each link it crosses.
    """

    share_of_peak: float
    share_of_link: float
    overhead: float
    hop: float


class Measured(NamedTuple):
    """Seconds on one device: a whole step of `batch` images, and its parts; None is estimated."""

    batch: int
    step: float
    loss: float | None = None
    update: float | None = None


class Times(NamedTuple):
    """Seconds of a step."""

    network: float
    loss: float
    update: float
    bandwidth: float
    latency: float

    @property
    def step(self) -> float:
        """All of them, one after the other."""
        return sum(self)


def predict(
    program: Program,
    chip: Chip,
    assumed: Assumptions,
    measured: Measured | None = None,
    reference: Program | None = None,
) -> Times:
    """The step's time on `program.devices` chips.

    Args:
      program: what the step computes and sends.
      chip: of which kind they are.
      assumed: shares and latencies.
      measured: takes the place of what is assumed about one device.
      reference: the program of `measured.batch` images on one device; needed with `measured`.
    """
    network, loss, update = _one_device(program, chip, assumed)
    if measured:
        _, reference_loss, update = _one_device(reference, chip, assumed)
        seen = reference_loss if measured.loss is None else measured.loss
        update = update if measured.update is None else measured.update
        rest = measured.step - seen - update
        if rest <= 0:
            raise InputError(
                f"of a step of {measured.step:g} s, {seen:g} s for the loss and {update:g} s for "
                "the update leave nothing for the network; give --loss_seconds and "
                "--update_seconds as measured with the step"
            )
        network = rest * program.network_flops / reference.network_flops
        loss *= seen / reference_loss
    bandwidth = sum(c.times * c.sent for c in program.collectives)
    bandwidth /= assumed.share_of_link * chip.link
    latency = sum(c.times * _latency(c, chip, assumed) for c in program.collectives)
    return Times(network / program.devices, loss, update, bandwidth, latency)


def _one_device(program: Program, chip: Chip, assumed: Assumptions) -> tuple[float, float, float]:
    """Network, loss and update of the whole batch on one chip."""
    network = program.network_flops / (assumed.share_of_peak * chip.flops)
    update = UPDATE_PASSES * 4 * program.parameters / chip.memory
    return network, _roofline(program.loss, chip), update


def _roofline(cost: Cost, chip: Chip) -> float:
    return max(cost.flops / chip.flops32, cost.bytes / chip.memory)


def _latency(collective: Collective, chip: Chip, assumed: Assumptions) -> float:
    """Without data; an all-gather goes one way only."""
    hops = chips.hops(chip, collective.group)
    if collective.kind != "all-reduce":
        hops /= 2
    return assumed.overhead + assumed.hop * hops


def efficiency(one: Program, alone: Times, many: Program, together: Times) -> float:
    """Images per second and device of `many` devices, as a share of what `one` reaches alone."""
    return (many.batch / together.step / many.devices) / (one.batch / alone.step)
