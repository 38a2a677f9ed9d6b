"""SSD and nearest mean against float64 oracles; what they say of sets they cannot use."""

import numpy as np
import pytest

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs


def _close(got, expected, tolerance):
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def _unit(x):
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _problem(n=300, d=10, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    train = (
        rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
        + 3 * rng.normal(size=(classes, d))[labels]
    )
    rows = np.concatenate([train[:30] + 0.1, 3 * rng.normal(size=(25, d))])
    return Outputs(train.astype(np.float32), None, labels), rows.astype(np.float32)


def _official_one_cluster(train, rows):
    """inspire-group/SSD: unit rows, standardised, then Mahalanobis with numpy's pinv."""
    train, rows = _unit(train), _unit(rows)
    mean, deviation = train.mean(0), train.std(0)
    train, rows = ((x - mean) / (deviation + 1e-10) for x in (train, rows))
    difference = rows - train.mean(0)
    precision = np.linalg.pinv(np.cov(train.T, bias=True))
    return -np.einsum("nd,de,ne->n", difference, precision, difference)


def test_one_gaussian_is_the_official_score():
    train, rows = _problem()
    detector = detectors.make("ssd")
    got = detector.score(detector.fit(train), Outputs(rows))
    assert got.dtype == np.float32
    _close(got, _official_one_cluster(train.features, rows), 2e-5)


def test_one_gaussian_needs_no_labels():
    train, rows = _problem()
    detector = detectors.make("ssd")
    got = detector.score(detector.fit(train._replace(labels=None)), Outputs(rows))
    np.testing.assert_array_equal(got, detector.score(detector.fit(train), Outputs(rows)))


def test_per_class_against_the_oracle():
    train, rows = _problem()
    detector = detectors.make("ssd", per_class=True)
    got = detector.score(detector.fit(train), Outputs(rows))
    x, z = _unit(train.features), _unit(rows)
    means = np.stack([x[train.labels == c].mean(0) for c in range(4)])
    centred = x - means[train.labels]
    precision = np.linalg.inv(centred.T @ centred / len(x))
    difference = z[:, None] - means[None]
    _close(got, -np.einsum("ncd,de,nce->nc", difference, precision, difference).min(1), 2e-5)
    same = detectors.make("mahalanobis", covariance="within")
    _close(got, same.score(same.fit(train), Outputs(rows)), 1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("per_class", [False, True])
def test_float64_stays_float64(per_class):
    train, rows = _problem()
    train = train._replace(features=train.features.astype(np.float64))
    detector = detectors.make("ssd", per_class=per_class)
    got = detector.score(detector.fit(train), Outputs(rows.astype(np.float64)))
    assert got.dtype == np.float64
    if not per_class:
        _close(got, _official_one_cluster(train.features, rows), 1e-7)  # its 1e-10 in the division


def test_nearest_mean_is_the_largest_cosine():
    train, rows = _problem()
    detector = detectors.make("nearest_mean")
    got = detector.score(detector.fit(train), Outputs(5 * rows))
    x = _unit(train.features)
    means = _unit(np.stack([x[train.labels == c].mean(0) for c in range(4)]))
    _close(got, (_unit(rows) @ means.T).max(1), 1e-6)
    assert got.max() <= 1 + 1e-6


def test_nearest_mean_of_zero_features_is_zero():
    train, _ = _problem()
    detector = detectors.make("nearest_mean")
    scores = detector.score(detector.fit(train), Outputs(np.zeros((2, 10), np.float32)))
    np.testing.assert_array_equal(scores, 0.0)


def test_bad_training_sets():
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    with pytest.raises(InputError, match="ssd.fit: the covariance is zero"):
        detectors.make("ssd").fit(Outputs(np.outer(np.arange(1, 7), [1.0, 2.0, 0.0])))
    with pytest.raises(InputError, match="ssd.fit: the covariance is zero"):
        detectors.make("ssd", per_class=True).fit(Outputs(x, None, np.arange(6)))
    for name, hp in (("ssd", {"per_class": True}), ("nearest_mean", {})):
        with pytest.raises(InputError, match=f"{name}.fit: needs the labels"):
            detectors.make(name, **hp).fit(Outputs(x))
        with pytest.raises(InputError, match=f"{name}.fit: class 1 of 3 has no training image"):
            detectors.make(name, **hp).fit(Outputs(x, None, np.array([0, 2, 0, 2, 0, 2])))
