import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import schedules


def recorded(case):
    return {
        "base_lr": float(case["hp_lr"]),
        "total_steps": int(case["hp_epochs"]) * int(case["hp_steps_per_epoch"]),
        "steps_per_epoch": int(case["hp_steps_per_epoch"]),
    }


@pytest.mark.usefixtures("x64")
def test_adapt_as_executed(golden):
    case = golden("lr_schedule")
    rate = schedules.make("adapt_as_executed", **recorded(case))
    used = case["lr_used"]
    np.testing.assert_allclose(rate(jnp.arange(len(used))), used, atol=1e-12)
    assert used[0] == case["hp_lr"]
    assert used[1] == 0


@pytest.mark.usefixtures("x64")
def test_adapt_as_executed_with_skipped_steps(golden):
    case = golden("lr_schedule_skips")
    rate = schedules.adapt_rate_after(**recorded(case))
    last, lasts, skipped = -1, [], set(case["skipped_steps"].tolist())
    for step in range(len(case["lr_used"])):
        lasts.append(last)
        if step not in skipped:
            last = step
    np.testing.assert_allclose(rate(jnp.array(lasts)), case["lr_used"], atol=1e-12)


def test_linear_warmup_cosine():
    common = {"base_lr": 0.5, "total_steps": 1000, "steps_per_epoch": 10}
    rate = schedules.make("linear_warmup_cosine", **common, warmup_epochs=5)
    steps = jnp.arange(1001)
    values = np.asarray(rate(steps))
    np.testing.assert_allclose(values[:50], 0.5 * np.arange(1, 51) / 50, rtol=1e-6)
    assert np.argmax(values) in (49, 50)
    assert (np.diff(values[50:]) <= 0).all()
    np.testing.assert_allclose(values[525], 0.5 * (0.5 + 0.001 * 0.5), rtol=1e-5)
    np.testing.assert_allclose(values[1000], 0.0005, rtol=1e-3)


def test_a_short_run_keeps_its_warmup_short():
    rate = schedules.make("linear_warmup_cosine", base_lr=1.0, total_steps=20, steps_per_epoch=5)
    assert float(rate(1)) == pytest.approx(1.0)


def test_errors_name_the_mistake():
    common = {"base_lr": 0.5, "total_steps": 10, "steps_per_epoch": 1}
    with pytest.raises(ValueError, match="linear_warmup_cosine"):
        schedules.make("linear_warmup_cosin", **common)
    with pytest.raises(TypeError, match="warmup_epochs"):
        schedules.make("linear_warmup_cosine", **common, warmup=3)
