"""Statistics against numpy and scipy, distances against the quadratic form in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from adapt_jax.core import gaussian
from adapt_jax.core.errors import InputError


def _data(n=300, d=7, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    mixing = rng.normal(size=(d, d))
    features = rng.normal(size=(n, d)) @ mixing + 3 * rng.normal(size=(classes, d))[labels]
    return features, labels


def test_class_means_and_covariances_match_numpy(monkeypatch):
    monkeypatch.setattr(gaussian, "_HOST_ROWS", 37)  # several blocks, some without every class
    features, labels = _data()
    means = gaussian.class_means(features, labels, 5)
    for c in range(4):
        np.testing.assert_allclose(means[c], features[labels == c].mean(0), rtol=1e-12)
    assert not means[4].any()
    of = gaussian.moments(features, labels, 5)
    np.testing.assert_array_equal(of.counts, np.bincount(labels, minlength=5))
    np.testing.assert_allclose(of.means, means, rtol=1e-12)
    centred = features - means[labels]
    np.testing.assert_allclose(of.scatter, centred.T @ centred, rtol=1e-11, atol=1e-11)
    one = of.together()
    np.testing.assert_allclose(one.means, features.mean(0)[None], rtol=1e-12)
    np.testing.assert_allclose(one.scatter / 299, np.cov(features.T), rtol=1e-11, atol=1e-13)
    point = np.arange(7.0)
    expected = (features - point).T @ (features - point)
    np.testing.assert_allclose(of.around(point), expected, rtol=1e-11)


def test_the_scatter_of_classes_far_apart_keeps_its_digits(monkeypatch):
    """The scatter of all rows less that of the means would be off by a part in a thousand."""
    monkeypatch.setattr(gaussian, "_HOST_ROWS", 37)
    features, labels = _data()
    far = features + 1e6 * np.arange(4.0)[labels][:, None]
    close, expected = gaussian.moments(far, labels, 4), gaussian.moments(features, labels, 4)
    np.testing.assert_allclose(close.scatter, expected.scatter, rtol=1e-7, atol=1e-6)


def test_normalize_uses_unit_rows():
    features, labels = _data()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    scaled = features * np.linspace(1, 9, 300)[:, None]
    means = gaussian.class_means(scaled, labels, 4, normalize=True)
    np.testing.assert_allclose(means, gaussian.class_means(unit, labels, 4), rtol=1e-12)
    of, expected = gaussian.moments(scaled, labels, 4, True), gaussian.moments(unit, labels, 4)
    np.testing.assert_allclose(of.means, means, rtol=1e-12)
    np.testing.assert_allclose(of.scatter, expected.scatter, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("rank", [1, 4, 7])
def test_whitening_squares_to_the_pseudo_inverse(rank):
    rng = np.random.default_rng(rank)
    factor = rng.normal(size=(7, rank))
    cov = factor @ factor.T
    whiten = gaussian.whitening(cov)
    assert whiten.shape == (7, rank)
    np.testing.assert_allclose(whiten @ whiten.T, scipy.linalg.pinvh(cov), rtol=1e-8, atol=1e-8)


def test_cutoff_is_relative_and_explicit():
    cov = np.diag([1e6, 1.0, 1e-6, 0.0])
    assert gaussian.whitening(cov).shape == (4, 3)
    assert gaussian.whitening(cov, cutoff=1e-9).shape == (4, 2)
    assert gaussian.whitening(cov * 1e-20, cutoff=1e-9).shape == (4, 2)
    assert gaussian.whitening(np.zeros((3, 3))).shape == (3, 0)


def _oracle(rows, means, precision):
    difference = rows[:, None].astype(np.float64) - means[None]
    return np.einsum("ncd,de,nce->nc", difference, precision, difference).min(1)


def test_nearest_squared_distance_is_the_quadratic_form():
    features, labels = _data(classes=9, d=6)
    of = gaussian.moments(features, labels, 9)
    means, cov = of.means, of.scatter / len(features)
    model = gaussian.gaussians(means, features.mean(0), gaussian.whitening(cov), np.float32)
    rows = features.astype(np.float32)
    expected = _oracle(rows, means, np.linalg.inv(cov))
    got = jax.jit(gaussian.nearest_squared_distance)(jnp.asarray(rows), model)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-4)


def test_collapsed_classes_far_apart_keep_their_digits():
    """Means 1e4 deviations apart: |z|^2 - 2 z.m + |m|^2 in float32 is off by several units."""
    rng = np.random.default_rng(3)
    means = rng.normal(size=(5, 8)) * 1e4
    rows = (means[rng.integers(0, 5, 200)] + rng.normal(size=(200, 8))).astype(np.float32)
    model = gaussian.gaussians(means, means.mean(0), np.eye(8), np.float32)
    got = gaussian.nearest_squared_distance(jnp.asarray(rows), model)
    np.testing.assert_allclose(got, _oracle(rows, means, np.eye(8)), rtol=1e-2)
    z = rows - np.asarray(model.center)
    m = np.asarray(model.means)
    expanded = (z**2).sum(1)[:, None] - 2 * z @ m.T + (m**2).sum(1)
    assert np.abs(expanded.min(1) - _oracle(rows, means, np.eye(8))).max() > 1


def test_float64_stays_float64(x64):
    features, labels = _data()
    of = gaussian.moments(features, labels, 4)
    means, cov = of.means, of.scatter / len(features)
    model = gaussian.gaussians(means, features.mean(0), gaussian.whitening(cov), np.float64)
    got = gaussian.nearest_squared_distance(jnp.asarray(features), model)
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, _oracle(features, means, np.linalg.inv(cov)), rtol=1e-10)


def test_pooled_is_the_covariance_around_each_mean():
    features, labels = _data()
    of = gaussian.moments(features.astype(np.float32), labels, 4)
    model = gaussian.pooled(of, "here", np.float32)
    means = np.stack([features[labels == c].mean(0) for c in range(4)])
    precision = np.linalg.inv(np.cov((features - means[labels]).T, bias=True))
    got = gaussian.nearest_squared_distance(jnp.asarray(features, jnp.float32), model)
    np.testing.assert_allclose(got, _oracle(features, means, precision), rtol=1e-3)
    with pytest.raises(InputError, match="here: the covariance is zero: .* are identical"):
        gaussian.pooled(gaussian.moments(means[labels], labels, 4), "here", np.float32)
