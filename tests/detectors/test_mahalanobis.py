"""Mahalanobis and PALM's score against recordings and a float64 oracle; degenerate sets."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs


def _close(got, expected, tolerance):
    """Largest deviation relative to the largest score of the set."""
    expected = np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def _unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _oracle(train, labels, rows, normalize, covariance):
    train, rows = train.astype(np.float64), rows.astype(np.float64)
    if normalize:
        train, rows = _unit(train), _unit(rows)
    means = np.stack([train[labels == c].mean(0) for c in range(labels.max() + 1)])
    if covariance == "total":
        cov = np.atleast_2d(np.cov(train.T))
        precision = np.linalg.pinv(cov, rcond=len(cov) * 2.2e-16, hermitian=True)
    else:
        cov = np.atleast_2d(np.cov((train - means[labels]).T, bias=True))
        precision = scipy.linalg.pinvh(cov)
    difference = rows[:, None] - means[None]
    return -np.einsum("ncd,de,nce->nc", difference, precision, difference).min(1)


def _problem(n=400, d=12, classes=5, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    mixing = rng.normal(size=(rank or d, d))
    centers = 2 * rng.normal(size=(classes, rank or d))
    train = (rng.normal(size=(n, rank or d)) + centers[labels]) @ mixing
    near = train[rng.integers(0, n, 40)] + 0.1 * train[rng.integers(0, n, 40)]
    rows = np.concatenate([near, 3 * rng.normal(size=(23, d))])
    return Outputs(train.astype(np.float32), None, labels), rows.astype(np.float32)


@pytest.mark.parametrize("case", ["maha_knn", "maha_knn_dead"])
def test_adapt_recording(golden, case):
    g = golden(case)
    detector = detectors.make("mahalanobis")
    state = detector.fit(Outputs(g["train_raw"], labels=g["train_labels"]))
    if case == "maha_knn_dead":
        assert state.whiten.shape == (20, 17)
    for name in ("in", "out"):
        rows = g["id_raw" if name == "in" else "ood_raw"]
        expected = g[f"maha_{name}_f64"]  # the recording lacks the last partial batch
        scores = detector.score(state, Outputs(rows))
        assert scores.dtype == np.float32
        _close(scores[: len(expected)], -2 * expected, 2e-6)  # it carries the factor 1/2


@pytest.mark.parametrize("part", ["test", "near", "far"])
@pytest.mark.parametrize(("name", "normalize"), [("mds", False), ("reweightood", True)])
def test_openood_recordings(golden, name, normalize, part):
    g = golden("posthoc_c10_d64")
    detector = detectors.make("mahalanobis", normalize=normalize, covariance="within")
    state = detector.fit(Outputs(g["train"], None, g["y_train"]))
    _close(detector.score(state, Outputs(g[part])), g[f"{name}__{part}"], 1e-5)


def test_palm_recording(golden):
    g = golden("palm_ssd_score")
    detector = detectors.make("palm_ssd")
    state = detector.fit(Outputs(g["train_raw"]))
    for part in ("id", "ood0", "ood1"):
        _close(detector.score(state, Outputs(g[f"{part}_raw"])), g[f"score_{part}_f64"], 5e-6)


def test_palm_with_dead_channels_equals_palm_without_them(golden):
    g = golden("palm_ssd_score")
    detector = detectors.make("palm_ssd")

    def widen(x):
        return np.insert(x, [3, 9], 0.0, axis=1)

    state = detector.fit(Outputs(widen(g["train_raw"])))
    _close(detector.score(state, Outputs(widen(g["id_raw"]))), g["score_id_f64"], 5e-6)
    alive = widen(g["ood0_raw"])
    alive[:, 3] = 0.5  # a channel dead in training speaks up: dropped, not divided by 1e-10
    assert np.isfinite(detector.score(state, Outputs(alive))).all()


@pytest.mark.parametrize("covariance", ["total", "within"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    "problem",
    [
        {},
        {"rank": 6},  # features in a subspace: the cut-off decides
        {"n": 9, "d": 30, "classes": 3},  # fewer images than dimensions
        {"classes": 1},
        {"n": 60, "d": 1, "classes": 3},
    ],
    ids=["regular", "subspace", "few_images", "one_class", "one_dimension"],
)
def test_float64_oracle(problem, normalize, covariance):
    train, rows = _problem(**problem)
    if problem.get("d") == 1:
        normalize = False  # a unit number carries only its sign
    detector = detectors.make("mahalanobis", normalize=normalize, covariance=covariance)
    got = detector.score(detector.fit(train), Outputs(rows))
    _close(got, _oracle(train.features, train.labels, rows, normalize, covariance), 2e-5)


def test_duplicate_rows_change_the_total_divisor_only():
    train, rows = _problem()
    twice = Outputs(np.tile(train.features, (2, 1)), None, np.tile(train.labels, 2))
    for covariance in ("total", "within"):
        detector = detectors.make("mahalanobis", covariance=covariance)
        once, double = (detector.score(detector.fit(t), Outputs(rows)) for t in (train, twice))
        factor = (799 / 800) / (399 / 400) if covariance == "total" else 1.0
        _close(double, once * factor, 2e-6)


@pytest.mark.parametrize("name", ["mahalanobis", "palm_ssd"])
def test_unit_scores_ignore_feature_scale(name):
    train, rows = _problem()
    detector = detectors.make(name)
    scaled = Outputs(1000 * train.features, None, train.labels)
    plain = detector.score(detector.fit(train), Outputs(rows))
    _close(detector.score(detector.fit(scaled), Outputs(7 * rows)), plain, 1e-5)


def test_scores_are_invariant_to_an_invertible_map():
    train, rows = _problem()
    mixing = np.random.default_rng(9).normal(size=(12, 12)).astype(np.float32)
    detector = detectors.make("mahalanobis", normalize=False)
    plain = detector.score(detector.fit(train), Outputs(rows))
    mapped = detector.fit(Outputs(train.features @ mixing + 5, None, train.labels))
    _close(detector.score(mapped, Outputs(rows @ mixing + 5)), plain, 2e-3)


def test_half_precision_features_are_widened():
    train, rows = _problem()
    detector = detectors.make("mahalanobis")
    state = detector.fit(train._replace(features=train.features.astype(jnp.bfloat16)))
    scores = detector.score(state, Outputs(rows.astype(np.float16)))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_float64_stays_float64(x64):
    train, rows = _problem()
    train = train._replace(features=train.features.astype(np.float64))
    detector = detectors.make("mahalanobis")
    got = detector.score(detector.fit(train), Outputs(rows.astype(np.float64)))
    assert got.dtype == np.float64
    _close(got, _oracle(train.features, train.labels, rows, True, "total"), 1e-9)


def _fit(features, labels=None, logits=None, **hp):
    return detectors.make("mahalanobis", **hp).fit(Outputs(features, logits, labels))


def test_bad_training_sets():
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    y = np.array([0, 1, 0, 1, 0, 1])
    with pytest.raises(InputError, match="needs the labels"):
        _fit(x)
    with pytest.raises(InputError, match="class 1 of 4 has no training image"):
        _fit(x, np.array([0, 0, 2, 3, 2, 3]))
    with pytest.raises(InputError, match=r"class 2 \(and 7 more\) of 10"):
        _fit(x, y, np.zeros((6, 10)))
    with pytest.raises(InputError, match=r"lie in 0..1, got -1..1"):
        _fit(x, np.array([0, 1, 0, -1, 0, 1]))
    with pytest.raises(InputError, match="6 feature rows but labels of shape"):
        _fit(x, y[:5])
    with pytest.raises(InputError, match="must be integers"):
        _fit(x, y.astype(float))
    with pytest.raises(InputError, match="the covariance is zero"):
        _fit(np.ones((6, 3), np.float32), y)
    with pytest.raises(InputError, match="the covariance is zero"):
        _fit(x[y], y, covariance="within")
    with pytest.raises(InputError, match="at least 2"):
        _fit(x[:1], y[:1])
    with pytest.raises(InputError, match="same direction"):
        detectors.make("palm_ssd").fit(Outputs(np.outer(np.arange(1, 5), [1.0, 2.0])))
    with pytest.raises(ValueError, match="covariance must be one of total, within"):
        detectors.make("mahalanobis", covariance="diagonal")
