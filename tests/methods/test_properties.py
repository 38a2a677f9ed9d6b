"""What holds for every method: its signature, odd batches, devices, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import methods
from adapt_jax.runtime import sharding

C, D, B, V = 5, 8, 16, 2
ALSO_NEEDS = {"ccl": {"num_images": 64}}  # beside num_classes and feature_dim


def build(name, num_classes=C, **kwargs):
    also = ALSO_NEEDS.get(name, {})
    return methods.make(name, num_classes=num_classes, feature_dim=D, **also, **kwargs)


@functools.cache
def built(name):
    """A method, its state, and its loss with gradients, which compiles once for each shape.

    The gradients are those of the loss and of the sum of the new state.
    """
    method = build(name)

    @jax.jit
    def loss_of(embeddings, labels, state):
        def loss_and_sum(embeddings):
            loss, (new, metrics) = method.loss(embeddings, labels, state)
            return (loss, sum(jnp.sum(1.0 * x) for x in jax.tree.leaves(new))), (new, metrics)

        (loss, total), pull, aux = jax.vjp(loss_and_sum, embeddings, has_aux=True)
        one, zero = jnp.ones_like(loss), jnp.zeros_like(loss)
        none = jnp.zeros_like(total)
        return (loss, aux), pull((one, none))[0], pull((zero, none + 1))[0]

    return method, jax.tree.map(np.asarray, method.init(jax.random.key(1))), loss_of


def batch(method, *, views=V, labels=None, seed=0, size=B):
    rng = np.random.default_rng(seed)
    width = D if method.reads == "embeddings" else C
    raw = rng.standard_normal((views, size, width))
    if method.reads == "embeddings":
        raw /= np.linalg.norm(raw, axis=-1, keepdims=True)
    labels = rng.integers(0, C, size) if labels is None else labels
    return raw.astype(jnp.zeros(()).dtype), np.asarray(labels, np.int32)


@pytest.mark.parametrize("name", methods.names())
class TestEveryMethod:
    def test_state_keeps_its_shape_and_carries_no_gradient(self, name):
        method, state, loss_of = built(name)
        embeddings, labels = batch(method)
        (loss, (new, metrics)), grad, moved = loss_of(embeddings, labels, state)
        assert loss.shape == ()
        assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)
        assert all(m.shape == () for m in metrics.values())
        assert np.any(grad)
        assert not np.any(moved)

    @pytest.mark.parametrize(
        ("views", "labels"),
        [
            (1, None),
            (2, [3] * B),  # one class, four absent
            (3, [0, 1] * (B // 2)),
            (1, list(range(C)) + [0] * (B - C)),
        ],
    )
    def test_odd_batches_stay_finite(self, name, views, labels):
        method, state, loss_of = built(name)
        embeddings, labels = batch(method, views=views, labels=labels)
        (loss, (new, _)), grad, _ = loss_of(embeddings, labels, state)
        for leaf in jax.tree.leaves((loss, new, grad)):
            assert np.isfinite(leaf).all()

    def test_two_classes(self, name):
        method = build(name, num_classes=2)
        state = method.init(jax.random.key(1))
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((2, 6, D if method.reads == "embeddings" else 2))
        rows = np.float32(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
        loss, _ = jax.jit(method.loss)(rows, np.int32([0, 1, 0, 1, 1, 1]), state)
        assert np.isfinite(loss)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_batch_that_is_not_finite_leaves_the_state(self, name, bad):
        method, state, loss_of = built(name)
        embeddings, labels = batch(method)
        embeddings[0, 3, 1] = bad
        (_, (new, _)), *_ = loss_of(embeddings, labels, state)
        jax.tree.map(np.testing.assert_array_equal, new, state)

    @pytest.mark.usefixtures("x64")
    def test_eight_devices_equal_one(self, name):
        method = build(name)
        state = jax.tree.map(np.asarray, method.init(jax.random.key(1)))
        embeddings, labels = batch(method)
        run = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
        alone = run(embeddings, labels, state)
        mesh = sharding.make_mesh()
        assert mesh.size == 8
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, sharding.AXIS))
        split = split, sharding.over_batch(mesh), sharding.replicated(mesh)
        spread = jax.jit(run, in_shardings=split)(embeddings, labels, state)  # traced once for both
        assert len(spread[1].sharding.device_set) == 8
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13), alone, spread
        )

    def test_a_misspelt_hyper_parameter_is_named(self, name):
        with pytest.raises(TypeError, match=r"temprature"):
            build(name, temprature=0.1)


# CIDER's moving average follows the order of samples by definition.
@pytest.mark.parametrize("name", sorted(set(methods.names()) - {"cider"}))
def test_order_of_images_does_not_matter(name):
    method, state, loss_of = built(name)
    embeddings, labels = batch(method)
    order = np.random.default_rng(1).permutation(B)
    (loss, (new, _)), *_ = loss_of(embeddings, labels, state)
    (loss2, (new2, _)), *_ = loss_of(embeddings[:, order], labels[order], state)
    np.testing.assert_allclose(loss, loss2, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new, new2)


def test_unknown_method_lists_the_known():
    with pytest.raises(ValueError, match=r"did you mean 'adapt'.*palm"):
        methods.make("adpt", num_classes=2, feature_dim=4)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("adapt", {"temperature": 0.0}),
        ("adapt", {"proto_momentum": 1.5}),
        ("adapt", {"cache_size": 0}),
        ("adapt", {"top_k": -1}),
        ("palm", {"sinkhorn_epsilon": -0.1}),
        ("cider", {"weight": -1.0}),
        ("supcon", {"contrast_mode": "some"}),
        ("cross_entropy", {"label_smoothing": 2.0}),
    ],
)
def test_values_out_of_range_are_named(name, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        build(name, **kwargs)


def test_labels_must_match_the_batch():
    method = build("adapt")
    embeddings, labels = batch(method)
    with pytest.raises(ValueError, match=r"labels have shape \(15,\)"):
        method.loss(embeddings, labels[:-1], method.init(jax.random.key(0)))


def test_cider_starts_from_the_class_means_of_the_untrained_network():
    method = build("cider")
    embeddings, labels = (x[0] if x.ndim == 3 else x for x in batch(method, views=1, size=60))
    labels = np.where(labels == 3, 2, labels)  # class 3 has no image
    state = method.init(jax.random.key(0))
    new = method.start(state, embeddings, labels)
    assert new.prototypes.shape == state.prototypes.shape
    for c in range(C):
        mean = np.asarray(embeddings)[np.asarray(labels) == c].sum(axis=0)
        wanted = mean / np.linalg.norm(mean) if c != 3 else np.zeros(D)
        np.testing.assert_allclose(new.prototypes[c], wanted, atol=1e-6)


@pytest.mark.parametrize("crowded", [False, True])
def test_ciders_average_equals_one_sample_at_a_time(crowded):
    from adapt_jax.core import sequential

    rng = np.random.default_rng(3)
    labels = np.zeros(64, int) if crowded else rng.integers(0, 12, 64)
    labels[5] = 11
    rows = rng.standard_normal((64, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    start = rng.standard_normal((12, 6))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    wanted = start.copy()
    for row, label in zip(rows, labels, strict=True):
        moved = 0.9 * wanted[label] + 0.1 * row
        wanted[label] = moved / np.linalg.norm(moved)
    ours = jax.jit(sequential.moving_average, static_argnums=3)(
        np.float32(start), np.float32(rows), labels, 0.9
    )
    np.testing.assert_allclose(ours, wanted, atol=2e-6)
