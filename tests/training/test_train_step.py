import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adapt_jax import methods
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.methods.base import Method
from adapt_jax.models.base import Model, ModelOutputs
from adapt_jax.runtime import sharding
from adapt_jax.training import (
    microbatches,
    optimizers,
    schedules,
    train_loop,
    train_state,
    train_step,
)
from adapt_jax.training.parts import Parts

SIZE, DIM = 2, 3


@functools.cache
def linear_model():
    """embeddings = unit(images @ kernel); remembers the mean of its input as a statistic."""

    def init(key, image_shape, dtype=jnp.float32):
        kernel = jax.random.normal(key, (int(np.prod(image_shape)), DIM), dtype)
        return {"params": {"kernel": kernel}, "batch_stats": {"mean": jnp.zeros((), dtype)}}

    def apply(variables, images, train):
        flat = images.reshape(len(images), -1)
        features = flat @ variables["params"]["kernel"]
        return ModelOutputs(features, l2_normalize(features), None), {"mean": flat.mean()}

    return Model("linear", init, apply, DIM, DIM, None, lambda h, w: 0, lambda v: None)


@functools.cache
def pull_to_label():
    """Squared distance to the unit vector of the label; counts the labels it has seen."""

    def loss(embeddings, labels, state):
        target = jax.nn.one_hot(labels, DIM)
        value = jnp.mean(jnp.sum((embeddings - target[None]) ** 2, axis=-1))
        return value, (state + jnp.bincount(labels, length=DIM), {})

    return Method(lambda key: jnp.zeros(DIM, jnp.int32), loss)


def augment(key, images):
    noise = jax.random.normal(key, (len(images), 2, *images.shape[1:]))
    return images[:, None].astype(jnp.float32) / 255 + 0.1 * noise


def setup(model=None, method=None, rate=0.1, **options):
    """A state before the first step, and the compiled step."""
    model, method = model or linear_model(), method or pull_to_label()
    return made(model, method, rate, jax.config.jax_enable_x64, **options)


@functools.cache
def made(model, method, rate, x64, **options):
    optimizer = optimizers.sgd(momentum=0.9, nesterov=True, weight_decay=1e-4)
    schedule = schedules.make("constant", base_lr=rate, total_steps=100, steps_per_epoch=10)
    parts = Parts(model, method, optimizer, schedule, augment, jnp.float32)
    state = train_state.create(jax.random.key(0), parts, (SIZE, SIZE, 3))
    return state, jax.jit(train_step.make_step(parts, **options))


def data(count=10):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return jnp.asarray(images), jnp.asarray(np.arange(count) % DIM, jnp.int32)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["lr_schedule", "lr_schedule_skips"])
def test_sgd_follows_the_official_trajectory(golden, name):
    case = golden(name)
    optimizer = optimizers.sgd(
        momentum=float(case["hp_momentum"]),
        nesterov=bool(case["hp_nesterov"]),
        weight_decay=float(case["hp_weight_decay"]),
    )
    weights = jnp.asarray(case["w0"], jnp.float64)
    opt_state = optimizer.init(weights)
    skipped = set(case["skipped_steps"].tolist())
    for step, gradient in enumerate(case["grads"]):
        if step not in skipped:
            direction, opt_state = optimizer.update(
                jnp.asarray(gradient, jnp.float64), opt_state, weights
            )
            weights = optax.apply_updates(weights, -case["lr_used"][step] * direction)
        np.testing.assert_allclose(weights, case["w_after_f64"][step], atol=1e-6)


def test_the_loop_equals_single_steps_and_visits_every_image():
    state, step = setup()
    images, labels = data(10)
    loop = train_loop.make_loop(step, batch_size=4, num_images=10, max_steps=5)
    one_call, metrics = jax.jit(loop)(state, images, labels, 3)
    by_hand = state
    losses = []
    for _ in range(3):
        by_hand, m = jax.jit(loop)(by_hand, images, labels, 1)
        losses.append(float(m["loss"][0]))
    jax.tree.map(np.testing.assert_array_equal, one_call.params, by_hand.params)
    np.testing.assert_array_equal(metrics["loss"][:3], losses)
    assert int(one_call.step) == 3
    # 3 steps of 4 from 10 images: one epoch, two images twice, none left out.
    counts = np.asarray(one_call.method_state)
    assert counts.sum() == 12
    assert (counts >= np.bincount(np.arange(10) % DIM)).all()


@functools.cache
def epochs_of_two_steps():
    state, step = setup(rate=0.05)
    loop = jax.jit(train_loop.make_loop(step, batch_size=5, num_images=10, max_steps=2))
    return state, loop, *data(10)


def test_epochs_differ_in_order_and_repeat_with_the_seed():
    state, loop, images, labels = epochs_of_two_steps()
    first, a = loop(state, images, labels, 2)
    _, b = loop(first, images, labels, 2)
    _, again = loop(state, images, labels, 2)
    np.testing.assert_array_equal(a["loss"], again["loss"])
    assert not np.array_equal(a["loss"], b["loss"])


def test_a_step_that_is_not_finite_changes_only_the_count():
    state, step = setup()
    images, labels = data(4)
    poisoned = state._replace(params={"kernel": state.params["kernel"].at[0, 0].set(jnp.nan)})
    new, metrics = step(poisoned, images, labels)
    assert metrics["skipped"] == 1
    assert int(new.step) == int(state.step) + 1
    for kept, was in zip(new[1:5], poisoned[1:5], strict=True):
        jax.tree.map(np.testing.assert_array_equal, kept, was)


def overflowing_statistics():
    model = linear_model()

    def apply(variables, images, train):
        outputs, statistics = model.apply(variables, images, train)
        return outputs, jax.tree.map(lambda x: x * jnp.inf, statistics)

    return model._replace(apply=apply)


def overflowing_memory():
    method = pull_to_label()

    def loss(embeddings, labels, state):
        value, _ = method.loss(embeddings, labels, jnp.zeros(DIM, jnp.int32))
        return value, (state * 2, {})

    return Method(lambda key: jnp.full(DIM, 3e38), loss)


def steep():
    method = pull_to_label()

    def loss(embeddings, labels, state):
        value, (state, metrics) = method.loss(embeddings, labels, state)
        return 1e3 * value, (state, metrics)

    return Method(method.init, loss)


@pytest.mark.parametrize(
    "what",
    [
        {"rate": 3e38, "method": steep()},
        {"model": overflowing_statistics()},
        {"method": overflowing_memory()},
    ],
)
def test_a_step_never_leaves_anything_in_the_state_that_is_not_finite(what):
    state, step = setup(**what)
    new, metrics = step(state, *data(4))
    assert jnp.isfinite(metrics["loss"])
    assert jnp.isfinite(metrics["gradient_norm"])
    assert metrics["skipped"] == 1
    for kept, was in zip(new[1:5], state[1:5], strict=True):
        jax.tree.map(np.testing.assert_array_equal, kept, was)


def test_learning_reduces_the_loss():
    state, loop, images, labels = epochs_of_two_steps()
    losses = []
    for _ in range(30):
        state, metrics = loop(state, images, labels, 2)
        losses.append(float(metrics["loss"].mean()))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.usefixtures("x64")
def test_micro_batches_have_the_gradient_of_the_whole_batch():
    supcon = methods.make("supcon")  # compares every image of the batch with every other
    images, labels = data(32)
    state, step = setup(method=supcon)
    whole, metrics = step(state, images, labels)
    for parts in (2, 4):
        _, step = setup(method=supcon, num_microbatches=parts)
        new, m = step(state, images, labels)
        np.testing.assert_allclose(m["loss"], metrics["loss"], rtol=1e-6)
        np.testing.assert_allclose(m["gradient_norm"], metrics["gradient_norm"], rtol=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            (new.params, new.batch_stats),
            (whole.params, whole.batch_stats),
        )


def test_statistics_that_parts_agree_on_stay_as_they_are():
    frozen = jnp.asarray(np.random.default_rng(0).normal(size=1000), jnp.float32)
    run = microbatches.value_and_grad(
        lambda params, views: (params * jnp.swapaxes(views, 0, 1), frozen),
        lambda seen: (jnp.sum(seen**2), None),
        3,
    )
    _, _, statistics, gradient = run(jnp.float32(2), jnp.ones((6, 1, 5)))
    np.testing.assert_array_equal(statistics, frozen)
    assert gradient == 2 * 2 * 30


def test_micro_batches_of_a_batch_over_devices_need_no_exchange():
    images, labels = data(32)
    mesh = sharding.make_mesh()
    state, step = setup(method=methods.make("supcon"), num_microbatches=2)
    alone = step(state, images, labels)[1]["loss"]
    inputs = (
        sharding.replicate(mesh, state),
        *(sharding.shard_batch(mesh, np.asarray(x)) for x in (images, labels)),
    )
    program = step.lower(*inputs).compile()
    np.testing.assert_allclose(program(*inputs)[1]["loss"], alone, rtol=1e-5)
    assert "all-to-all" not in program.as_text()


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(ValueError, match=r"batch_size 20 is not divisible by the 8 devices"):
        sharding.check_batch(sharding.make_mesh(), 20)
    with pytest.raises(ValueError, match=r"8 devices times 3 microbatches; use a multiple of 24"):
        sharding.check_batch(sharding.make_mesh(), 32, 3)
