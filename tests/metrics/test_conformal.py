"""Conformal p-values and their promise, on random splits of real scores."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from adapt_jax.core.errors import InputError
from adapt_jax.metrics import conformal

SPLITS, CALIBRATION = 1000, 199


@pytest.fixture(scope="module")
def real_scores():
    """How near each handwritten digit is to its nearest class mean; rounded, so that ties occur."""
    images, labels = load_digits(return_X_y=True)
    means = np.array([images[labels == c][:60].mean(axis=0) for c in range(10)])
    apart = np.linalg.norm(images[:, None] - means, axis=2).min(axis=1)
    return np.round(-apart, 1)


@pytest.fixture(scope="module")
def splits(real_scores):
    """p-values (SPLITS, M) of the images that each random split does not calibrate on."""
    rng = np.random.default_rng(0)
    orders = (rng.permutation(real_scores) for _ in range(SPLITS))
    return np.array([conformal.p_values(o[:CALIBRATION], o[CALIBRATION:]) for o in orders])


def test_p_values_by_counting():
    rng = np.random.default_rng(1)
    calibration, scores = rng.integers(0, 9, 30), rng.integers(-2, 11, 50)
    expected = [(1 + sum(c <= s for c in calibration)) / 31 for s in scores]
    np.testing.assert_allclose(conformal.p_values(calibration, scores), expected, atol=1e-15)


def test_p_values_are_super_uniform(splits):
    """P(p <= u) <= u for every u; the mean over splits strays by less than 0.002."""
    for level in np.linspace(0.02, 0.98, 49):
        assert np.mean(splits <= level) <= level + 0.003


@pytest.mark.parametrize("alpha", [0.048, 0.1])
def test_the_mean_rejection_of_id_images_is_at_most_alpha(splits, alpha):
    rejected = conformal.reject(splits, alpha).mean(axis=1)
    assert rejected.mean() <= alpha
    assert rejected.mean() >= alpha - 0.02  # not by refusing to decide
    assert rejected.mean() <= conformal.guarantee(CALIBRATION, alpha).mean + 0.003


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_bounds_hold_as_often_as_promised(alpha):
    rng = np.random.default_rng(2)
    promised = conformal.guarantee(CALIBRATION, alpha, 0.9)
    most = conformal.most_rejections(promised, 40)
    shares, counts = [], []
    for _ in range(SPLITS):
        calibration = rng.uniform(size=CALIBRATION)
        # A new uniform score is rejected below the largest one that is.
        grid = np.sort(calibration)
        rejected = conformal.reject(conformal.p_values(calibration, np.nextafter(grid, 0)), alpha)
        shares.append(grid[rejected].max())
        p_values = conformal.p_values(calibration, rng.uniform(size=40))
        counts.append(conformal.reject(p_values, alpha).sum())
    assert abs(np.mean(np.array(shares) <= promised.bound) - 0.9) < 0.03
    assert np.mean(shares) == pytest.approx(promised.mean, abs=0.002)
    assert np.mean(np.array(counts) <= most) >= 0.88
    assert np.mean(np.array(counts) <= most - 1) < 0.9


def test_the_bound_holds_on_real_scores(splits):
    """Splits of a finite set vary less with the calibration set than new ones would."""
    promised = conformal.guarantee(CALIBRATION, 0.05, 0.9)
    assert np.mean(conformal.reject(splits, 0.05).mean(axis=1) <= promised.bound) >= 0.9


def test_decisions_at_the_very_level():
    """0.29 * 100 is below 29 in floating point, and 29 / 100 is 0.29."""
    calibration = np.arange(99)
    p_values = conformal.p_values(calibration, np.arange(-1, 99))
    for alpha, count in ((0.29, 29), (0.01, 1), (1 - 0.95, 5), (0.055, 5)):
        assert conformal.reject(p_values, alpha).sum() == count
        assert conformal.guarantee(99, alpha).mean == pytest.approx(count / 100)


def test_the_threshold_decides_as_the_p_values_do():
    rng = np.random.default_rng(5)
    calibration, scores = rng.integers(0, 40, 150), rng.integers(-2, 42, 500)
    for alpha in (0.01, 0.05, 0.0661, 0.5, 0.99):
        rejected = conformal.reject(conformal.p_values(calibration, scores), alpha)
        np.testing.assert_array_equal(scores < conformal.threshold(calibration, alpha), rejected)


def test_benjamini_hochberg_against_its_definition():
    rng = np.random.default_rng(3)
    for size in (1, 5, 40):
        p_values = np.round(rng.uniform(size=size) ** 3, 2)
        ordered = sorted(p_values)
        ranks = [k for k in range(1, size + 1) if ordered[k - 1] <= 0.2 * k / size + 1e-12]
        threshold = ordered[max(ranks) - 1] if ranks else -1
        expected = [p <= threshold for p in p_values]
        np.testing.assert_array_equal(conformal.benjamini_hochberg(p_values, 0.2), expected)
    assert conformal.benjamini_hochberg([], 0.1).shape == (0,)


def test_false_discoveries_are_as_rare_as_promised():
    rng = np.random.default_rng(4)
    shares, caught = [], []
    for _ in range(400):
        calibration, own = rng.normal(size=500), rng.normal(size=80)
        p_values = conformal.p_values(calibration, np.concatenate([own, rng.normal(-4, 1, 20)]))
        called = conformal.benjamini_hochberg(p_values, 0.1)
        shares.append(called[:80].sum() / max(called.sum(), 1))
        caught.append(called[80:].mean())
    assert np.mean(shares) <= 0.1
    assert np.mean(caught) > 0.7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conformal.p_values([], [1.0]), "n >= 1"),
        (lambda: conformal.p_values([np.inf], [1.0]), "finite"),
        (lambda: conformal.guarantee(18, 0.05), "at least 19 calibration images"),
        (lambda: conformal.guarantee(100, 1.0), "alpha lies between"),
        (lambda: conformal.guarantee(100, 0.1, 0), "confidence lies between"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_the_smallest_calibration_set_will_do():
    assert conformal.guarantee(19, 0.05).mean == 0.05
