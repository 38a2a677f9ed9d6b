"""Learning-rate schedules by name: usual defaults, and the official ones as they execute.

A schedule is `rate(step)` for an integer array `step`, the number of steps taken so far.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adapt_jax.core import checks
from adapt_jax.core.registry import Registry

Schedule = Callable[[jax.Array], jax.Array]


def constant(
    *, base_lr: float, total_steps: int, steps_per_epoch: int, warmup_epochs: float = 0
) -> Schedule:
    """Linear from 0 to `base_lr` over the warm-up, as below, then `base_lr`."""
    warmup = _warmup_steps(warmup_epochs, steps_per_epoch, total_steps)
    return lambda step: base_lr * _ramp(jnp.asarray(step, _float()), warmup)


def linear_warmup_cosine(
    *,
    base_lr: float,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float = 10,
    final_fraction: float = 0.001,
) -> Schedule:
    """Linear from 0 to `base_lr` over the warm-up, then a cosine to `final_fraction * base_lr`.

    Step t uses base_lr (t + 1) / warm-up steps, so no step runs at rate 0. A warm-up longer than a
    fifth of the run (short runs, smoke tests) is cut to a tenth of it.
    """
    checks.fraction(final_fraction=final_fraction)
    warmup = _warmup_steps(warmup_epochs, steps_per_epoch, total_steps)

    def rate(step):
        step = jnp.asarray(step, _float())
        progress = jnp.clip((step - warmup) / max(total_steps - warmup, 1), 0.0, 1.0)
        return base_lr * _ramp(step, warmup) * _half_cosine(progress, final_fraction)

    return rate


def adapt_as_executed(
    *, base_lr: float, total_steps: int, steps_per_epoch: int, warmup_epochs: int = 10
) -> Schedule:
    """The rates ADAPT's and PALM's training scripts really run with.

    Their rate is written *after* the optimiser step, so step 0 runs at the full base rate (no
    warm-up), step 1 at exactly 0, and step t at the scheduled rate of t - 1.
    Source: JINHYUKSUH/ADAPT, jeff024/PALM.
    """
    written = adapt_rate_after(
        base_lr=base_lr,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=warmup_epochs,
    )
    return lambda step: written(jnp.asarray(step) - 1)


def adapt_rate_after(
    *, base_lr: float, total_steps: int, steps_per_epoch: int, warmup_epochs: int = 10
) -> Schedule:
    """The rate in force once step `last` has been applied; `base_lr` while none has (last < 0).

    With loss scaling the official code skips a step without writing a rate; giving the index of the
    last *applied* step reproduces that too.
    """
    warmup = warmup_epochs * steps_per_epoch

    def rate(last):
        last = jnp.asarray(last, _float())
        progress = (last - warmup) / max(total_steps - warmup, 1)
        ramp = base_lr * last / max(warmup, 1)
        scheduled = jnp.where(last < warmup, ramp, base_lr * _half_cosine(progress, 0.001))
        return jnp.where(last < 0, base_lr, scheduled)

    return rate


def cider_as_executed(
    *,
    base_lr: float,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: int = 10,
    cosine: bool = True,
) -> Schedule:
    """The rates CIDER's training script, and SupCon's within it, really run with.

    The warm-up counts epochs from 1 but is given them from 0: in the first of its
    `warmup_epochs` + 1 epochs the rate is negative (gradient ascent), rising to 0.001.
    Source: deeplearning-wisc/cider.

    The script warms up only where the batch has more than 256 images; give warmup_epochs 0 for
    smaller ones. cosine False is its other rule: a tenth after each of the epochs 100, 150, 180.
    """
    per_epoch = _epoch_cosine(base_lr, total_steps / steps_per_epoch)
    if not cosine:

        def per_epoch(epoch):
            passed = sum((epoch > last).astype(_float()) for last in (100, 150, 180))
            return base_lr * 0.1**passed

    return _epochs_off_by_one(per_epoch, steps_per_epoch, warmup_epochs, first=0)


def reweightood_as_executed(
    *, base_lr: float, total_steps: int, steps_per_epoch: int, warmup_epochs: int = 10
) -> Schedule:
    """The rates ReweightOOD's trainer really runs with, negative in most of the first epoch.

    CIDER's schedule with cosine, but steps count from 1; its trainer always warms up. OpenOOD's
    trainers of CIDER, NPOS and PALM share it. A base rate below 0.001 "warms up" downwards.
    Source: sudarshanregmi/ReweightOOD.
    """
    per_epoch = _epoch_cosine(base_lr, total_steps / steps_per_epoch)
    return _epochs_off_by_one(per_epoch, steps_per_epoch, warmup_epochs, first=1)


FACTORIES = {
    "constant": constant,
    "linear_warmup_cosine": linear_warmup_cosine,
    "adapt_as_executed": adapt_as_executed,
    "cider_as_executed": cider_as_executed,
    "reweightood_as_executed": reweightood_as_executed,
}


def make(
    name: str, *, base_lr: float, total_steps: int, steps_per_epoch: int, **parameters
) -> Schedule:
    """Builds a schedule by name.

    Args:
      name: name of the schedule, one of `FACTORIES`.
      base_lr: peak learning rate.
      total_steps: number of steps of the run.
      steps_per_epoch: number of steps in one epoch.
      **parameters: parameters of the schedule itself, such as `warmup_epochs`.

    Raises:
      ValueError: unknown name, or a value out of its range.
      TypeError: unknown parameter.
    """
    checks.non_negative(base_lr=base_lr)
    common = {"base_lr": base_lr, "total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    return Registry("schedule", FACTORIES).make(name, **common, **parameters)


def _warmup_steps(epochs, steps_per_epoch, total_steps):
    checks.non_negative(warmup_epochs=epochs)
    steps = round(epochs * steps_per_epoch)
    return steps if steps <= total_steps // 5 else total_steps // 10


def _epoch_cosine(base_lr, epochs):
    """One rate per epoch (from 0): a cosine from `base_lr` to a thousandth of it."""
    return lambda epoch: base_lr * _half_cosine(epoch / epochs, 0.001)


def _epochs_off_by_one(per_epoch, steps_per_epoch, warmup_epochs, first):
    """`per_epoch`, preceded by a warm-up from 0.001 whose epochs start at -1 (so it begins below).

    first: what the script calls the first step of an epoch.
    """
    checks.non_negative(warmup_epochs=warmup_epochs)
    start, warmup = 0.001, warmup_epochs * steps_per_epoch

    def rate(step):
        step = jnp.asarray(step)
        epoch = (step // steps_per_epoch).astype(_float())
        target = per_epoch(jnp.asarray(warmup_epochs, _float()))
        done = (step.astype(_float()) + first - steps_per_epoch) / max(warmup, 1)
        warm = (epoch <= warmup_epochs) & (warmup > 0)
        return jnp.where(warm, start + done * (target - start), per_epoch(epoch))

    return rate


def _ramp(step, warmup):
    """(step + 1) / warmup, at most 1."""
    return jnp.minimum((step + 1.0) / max(warmup, 1), 1.0)


def _half_cosine(progress, floor):
    """1 at progress 0, `floor` at progress 1."""
    fall = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
    return fall + floor * (1.0 - fall)


def _float():
    """float32, or float64 in double precision."""
    return jnp.zeros(()).dtype
