"""CCL against NT-Xent, SupCon and a float64 oracle of its own equations."""

import jax
import numpy as np
import pytest

from adapt_jax import methods
from adapt_jax.methods.ccl import CclState
from adapt_jax.runtime import sharding

N, K, D, B, V = 40, 4, 8, 12, 2


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def build(**kwargs):
    return methods.make("ccl", **({"feature_dim": D, "num_images": N, "num_clusters": K} | kwargs))


def clustered(assignment=None, seed=1):
    """A state after a clustering: random unit centres, a given or random assignment."""
    rng = np.random.default_rng(seed)
    if assignment is None:
        assignment = rng.integers(0, K, N)
    centres = unit(rng.standard_normal((K, D)))
    return CclState(*jax.device_put((centres, np.asarray(assignment, np.int32), np.int32(1))))


def batch(views=V, seed=0):
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((views, B, D)))
    return jax.device_put((rows, rng.permutation(N)[:B].astype(np.int32)))


def run(method, *given):
    """Its loss, as one program: operation by operation it would be many."""
    return jax.jit(method.loss)(*given)


def supcon(embeddings, labels, temperature, **kwargs):
    method = methods.make("supcon", temperature=temperature, base_temperature=temperature, **kwargs)
    return run(method, embeddings, labels, ())[0]


def oracle(embeddings, indices, state, form, t=0.2, t_c=0.2, g=1.0, local_weight=1.0):
    """The equations of the module, one pair at a time."""
    z = np.asarray(embeddings).reshape(-1, D)
    a = np.tile(np.asarray(state.assignment)[np.asarray(indices)], len(z) // B)
    image = np.tile(np.arange(B), len(z) // B)
    c = np.asarray(state.centres)
    total, kept = [], []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        samples = sum(np.exp(z[i] @ z[j] / t) for j in others)
        centres = sum(np.exp(z[i] @ c[k] / t_c) for k in range(K))
        members = [j for j in others if a[j] == a[i]]
        views = [j for j in others if image[j] == image[i]]
        own = z[i] @ c[a[i]] / t_c
        if form == "joint":
            log_d = np.log(samples + (centres if g else 0.0))
            terms = sum(log_d - z[i] @ z[p] / t for p in members)
            kept.append(len(members) + g > 0)
            total.append((terms + g * (log_d - own)) / max(len(members) + g, 1e-9))
        else:
            nt_xent = np.mean([np.log(samples) - z[i] @ z[p] / t for p in views])
            local = np.mean([np.log(samples) - z[i] @ z[p] / t for p in members])
            kept.append(True)
            total.append(nt_xent + local_weight * local + g * (np.log(centres) - own))
    return np.sum(np.array(total)[kept]) / max(sum(kept), 1)


@pytest.mark.usefixtures("x64")
class TestLoss:
    @pytest.mark.parametrize("form", ["joint", "sum"])
    def test_warm_up_is_nt_xent(self, form):
        embeddings, indices = batch()
        method = build(form=form, warmup_temperature=0.4)
        loss, (_, metrics) = run(method, embeddings, indices, method.init(jax.random.key(0)))
        np.testing.assert_allclose(
            loss, supcon(embeddings, indices, 0.4, use_labels=False), rtol=1e-12
        )
        assert metrics["centre"] == 0
        assert metrics["positives"] == 1

    def test_every_image_its_own_cluster_and_no_centres_is_nt_xent(self):
        embeddings, indices = batch()
        method = build(num_clusters=N, centre_weight=0.0)
        state = CclState(np.zeros((N, D)), np.arange(N, dtype=np.int32), np.int32(1))
        loss, _ = run(method, embeddings, indices, state)
        np.testing.assert_allclose(
            loss, supcon(embeddings, indices, 0.2, use_labels=False), rtol=1e-12
        )

    @pytest.mark.parametrize("views", [1, 2, 3])
    def test_true_labels_as_clusters_without_centres_is_supcon(self, views):
        embeddings, indices = batch(views)
        state = clustered()
        method = build(centre_weight=0.0, temperature=0.1)
        loss, _ = run(method, embeddings, indices, state)
        labels = np.asarray(state.assignment)[np.asarray(indices)]
        np.testing.assert_allclose(loss, supcon(embeddings, labels, 0.1), rtol=1e-12)

    @pytest.mark.parametrize("views", [1, 2])
    def test_joint_form_against_the_oracle(self, views):
        embeddings, indices = batch(views)
        state = clustered()
        cases = [(g, t_c) for g in (0.0, 1.0, 5.0) for t_c in (0.2, 0.7)]

        @jax.jit
        def losses(*given):
            made = (build(centre_weight=g, centre_temperature=t_c) for g, t_c in cases)
            return [method.loss(*given)[0] for method in made]

        for (g, t_c), loss in zip(cases, losses(embeddings, indices, state), strict=True):
            wanted = oracle(embeddings, indices, state, "joint", g=g, t_c=t_c)
            np.testing.assert_allclose(loss, wanted, rtol=1e-12, err_msg=f"{g=} {t_c=}")

    def test_sum_form_against_the_oracle(self):
        embeddings, indices = batch()
        state = clustered()
        method = build(form="sum", centre_weight=0.3, local_weight=2.0, centre_temperature=0.5)
        loss, _ = run(method, embeddings, indices, state)
        wanted = oracle(embeddings, indices, state, "sum", g=0.3, local_weight=2.0, t_c=0.5)
        np.testing.assert_allclose(loss, wanted, rtol=1e-12)

    def test_metrics_are_the_parts(self):
        embeddings, indices = batch()
        state = clustered(np.zeros(N))  # one cluster: as many members for every row
        loss, (_, metrics) = run(build(centre_weight=3.0), embeddings, indices, state)
        rows = V * B - 1
        assert metrics["positives"] == rows
        parts = (rows * metrics["local"] + 3.0 * metrics["centre"]) / (rows + 3.0)
        np.testing.assert_allclose(loss, parts, rtol=1e-12)

    @pytest.mark.parametrize("form", ["joint", "sum"])
    def test_numbering_of_clusters_does_not_matter(self, form):
        embeddings, indices = batch()
        state = clustered()
        order = np.random.default_rng(7).permutation(K)
        renamed = CclState(
            np.asarray(state.centres)[order],
            np.argsort(order).astype(np.int32)[np.asarray(state.assignment)],
            np.int32(1),
        )
        loss = jax.jit(build(form=form).loss)
        np.testing.assert_allclose(
            loss(embeddings, indices, renamed)[0], loss(embeddings, indices, state)[0], rtol=1e-12
        )

    @pytest.mark.parametrize("form", ["joint", "sum"])
    def test_no_gradient_reaches_the_centres(self, form):
        embeddings, indices = batch()
        state = clustered()
        method = build(form=form)

        def of_centres(centres):
            return method.loss(embeddings, indices, state._replace(centres=centres))[0]

        def both(embeddings, centres):
            rows = jax.grad(lambda e: method.loss(e, indices, state)[0])(embeddings)
            return jax.grad(of_centres)(centres), rows

        of_the_centres, grad = jax.jit(both)(embeddings, state.centres)
        assert not np.any(of_the_centres)
        assert np.isfinite(grad).all()
        assert np.any(grad)

    @pytest.mark.parametrize("form", ["joint", "sum"])
    def test_eight_devices_equal_one(self, form):
        rng = np.random.default_rng(0)
        embeddings = unit(rng.standard_normal((V, 16, D)))
        indices = rng.permutation(N)[:16].astype(np.int32)
        method, mesh = build(form=form), sharding.make_mesh()
        run = jax.jit(jax.value_and_grad(lambda e, i, s: method.loss(e, i, s)[0]))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, sharding.AXIS))
        spread = run(
            jax.device_put(embeddings, split),
            jax.device_put(indices, sharding.over_batch(mesh)),
            jax.device_put(clustered(), sharding.replicated(mesh)),
        )
        alone = run(embeddings, indices, clustered())
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13), alone, spread
        )


def whole_set(seed=0, count=N):
    """Embeddings of a training set in K clear groups, longer than one."""
    rng = np.random.default_rng(seed)
    groups = np.arange(count) % K
    rows = 3 * np.eye(K, D)[groups] + 0.1 * rng.standard_normal((count, D))
    return jax.device_put(rows.astype(np.float32)), groups


def test_refresh_finds_the_groups_and_starts_the_second_phase():
    method = build()
    embeddings, groups = whole_set()
    state = method.init(jax.random.key(0))
    refresh = jax.jit(method.refresh)
    new = refresh(state, embeddings, jax.random.key(1))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert len(set(zip(groups.tolist(), new.assignment.tolist(), strict=True))) == K
    np.testing.assert_allclose(np.linalg.norm(new.centres, axis=1), 1.0, atol=1e-6)
    assert new.refreshes == 1
    assert refresh(new, embeddings, jax.random.key(2)).refreshes == 2

    broken = np.array(embeddings)
    broken[3, 2] = np.nan  # embeddings that are not finite leave the clusters
    jax.tree.map(
        np.testing.assert_array_equal, refresh(new, jax.device_put(broken), jax.random.key(2)), new
    )


def test_without_num_images_the_first_refresh_sizes_the_state():
    method = methods.make("ccl", num_classes=K, feature_dim=D)
    embeddings, indices = batch()
    state = method.init(jax.random.key(0))
    assert state.assignment.shape == (0,)
    warm, _ = run(method, embeddings, indices, state)
    state = jax.jit(method.refresh)(state, whole_set()[0], jax.random.key(0))
    assert state.centres.shape == (K, D)
    assert state.assignment.shape == (N,)
    assert run(method, embeddings, indices, state)[0] != warm


def test_schedule_of_clusterings():
    assert [e for e in range(12) if build(warmup_epochs=3).refresh_due(e)] == list(range(3, 12))
    method = build(warmup_epochs=2, refresh_period=4)
    assert [e for e in range(12) if method.refresh_due(e)] == [2, 6, 10]
    assert build(warmup_epochs=0).refresh_due(0)


def test_what_it_says_of_itself():
    assert build().label_kind == "indices"
    assert methods.make("supcon").label_kind == "labels"
    assert methods.make("supcon", use_labels=False).label_kind == "indices"


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"num_clusters": None}, "num_clusters must be given"),
        ({"num_clusters": 41}, "num_clusters 41 exceeds the 40 training images"),
        ({"num_clusters": 0}, "num_clusters must be a positive integer"),
        ({"centre_temperature": 0.0}, "centre_temperature must be positive"),
        ({"warmup_temperature": -1.0}, "warmup_temperature must be positive"),
        ({"centre_weight": -1.0}, "centre_weight must not be negative"),
        ({"refresh_period": 0}, "refresh_period must be a positive integer"),
        ({"form": "both"}, "form must be"),
    ],
)
def test_values_out_of_range_are_named(kwargs, words):
    with pytest.raises(ValueError, match=words):
        build(**kwargs)


def test_a_training_set_of_another_size_is_refused():
    method = build()
    with pytest.raises(ValueError, match="embeddings of 39 images, num_images is 40"):
        method.refresh(method.init(jax.random.key(0)), whole_set(count=39)[0], jax.random.key(0))
