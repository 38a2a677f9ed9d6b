import jax
import numpy as np
import pytest

from adapt_jax.training import schedules


def recorded(case):
    return {
        "base_lr": float(case["hp_lr"]),
        "total_steps": int(case["hp_epochs"]) * int(case["hp_steps_per_epoch"]),
        "steps_per_epoch": int(case["hp_steps_per_epoch"]),
    }


def made(name, **given):
    """A schedule as one program: operation by operation it would be many."""
    return jax.jit(schedules.make(name, **given))


@pytest.mark.usefixtures("x64")
def test_adapt_as_executed(golden):
    case = golden("lr_schedule")
    rate = made("adapt_as_executed", **recorded(case))
    used = case["lr_used"]
    np.testing.assert_allclose(rate(np.arange(len(used))), used, atol=1e-12)
    assert used[0] == case["hp_lr"]
    assert used[1] == 0


@pytest.mark.usefixtures("x64")
def test_adapt_as_executed_with_skipped_steps(golden):
    case = golden("lr_schedule_skips")
    rate = jax.jit(schedules.adapt_rate_after(**recorded(case)))
    last, lasts, skipped = -1, [], set(case["skipped_steps"].tolist())
    for step in range(len(case["lr_used"])):
        lasts.append(last)
        if step not in skipped:
            last = step
    np.testing.assert_allclose(rate(np.asarray(lasts)), case["lr_used"], atol=1e-12)


def test_linear_warmup_cosine():
    common = {"base_lr": 0.5, "total_steps": 1000, "steps_per_epoch": 10}
    rate = made("linear_warmup_cosine", **common, warmup_epochs=5)
    steps = np.arange(1001)
    values = np.asarray(rate(steps))
    np.testing.assert_allclose(values[:50], 0.5 * np.arange(1, 51) / 50, rtol=1e-6)
    assert np.argmax(values) in (49, 50)
    assert (np.diff(values[50:]) <= 0).all()
    np.testing.assert_allclose(values[525], 0.5 * (0.5 + 0.001 * 0.5), rtol=1e-5)
    np.testing.assert_allclose(values[1000], 0.0005, rtol=1e-3)


def test_a_short_run_keeps_its_warmup_short():
    rate = made("linear_warmup_cosine", base_lr=1.0, total_steps=20, steps_per_epoch=5)
    assert float(rate(1)) == pytest.approx(1.0)


def test_errors_name_the_mistake():
    common = {"base_lr": 0.5, "total_steps": 10, "steps_per_epoch": 1}
    with pytest.raises(ValueError, match="linear_warmup_cosine"):
        schedules.make("linear_warmup_cosin", **common)
    with pytest.raises(TypeError, match="warmup_epochs"):
        schedules.make("linear_warmup_cosine", **common, warmup=3)


@pytest.mark.usefixtures("x64")
def test_cider_as_executed(golden):
    case = golden("cider_lr_schedule")
    rate = made("cider_as_executed", **recorded(case))
    used = case["lr_used"]
    np.testing.assert_allclose(rate(np.arange(len(used))), used, atol=1e-12)
    assert (used[:3] < 0).all()
    assert used[3] == pytest.approx(0.001)


def test_cider_starts_at_the_rate_its_script_prints():
    """500 epochs of 98 steps at 0.5: 97 of the first 98 rates are negative."""
    rate = made("cider_as_executed", base_lr=0.5, total_steps=49_000, steps_per_epoch=98)
    first = np.asarray(rate(np.arange(98)))
    assert first[0] == pytest.approx(-0.0489, abs=1e-4)
    assert (first < 0).sum() == 97
    assert (np.diff(first) > 0).all()


@pytest.mark.usefixtures("x64")
def test_cider_by_steps_and_for_small_batches():
    common = {"base_lr": 0.5, "total_steps": 400, "steps_per_epoch": 2}
    rate = made("cider_as_executed", **common, cosine=False, warmup_epochs=0)
    epochs = np.array([0, 100, 101, 150, 151, 180, 181, 199])
    by_hand = [0.5, 0.5, 0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005]
    np.testing.assert_allclose(rate(np.asarray(2 * epochs)), by_hand, rtol=1e-12)
    warm = made("cider_as_executed", **common, cosine=False)
    # Epochs 0..10: a line through 0.001 at step 2 (epoch 1) and the full rate at step 22.
    steps = np.arange(22)
    np.testing.assert_allclose(
        warm(np.asarray(steps)), 0.001 + (steps - 2) / 20 * 0.499, rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(warm(22), 0.5, rtol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", ["lr_cifar", "lr_in200", "lr_in1k"])
def test_reweightood_as_executed(golden, case):
    recorded = golden("reweightood_loss")
    base_lr, epochs, per_epoch, _ = recorded[f"{case}__hp"]
    rate = made(
        "reweightood_as_executed",
        base_lr=float(base_lr),
        total_steps=int(epochs * per_epoch),
        steps_per_epoch=int(per_epoch),
    )
    used = recorded[f"{case}__lrs"].ravel()
    np.testing.assert_allclose(rate(np.arange(used.size)), used, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(schedules.FACTORIES))
def test_every_schedule_takes_what_a_config_gives(name):
    rate = made(name, base_lr=0.1, total_steps=30, steps_per_epoch=3, warmup_epochs=2)
    for step in (np.int32(0), np.arange(31), 7):
        values = np.asarray(rate(step))
        assert values.shape == np.shape(step)
        assert np.isfinite(values).all()
    assert float(rate(29)) <= 0.1 + 1e-6
