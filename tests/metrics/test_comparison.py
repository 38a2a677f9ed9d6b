"""Tests of differences against brute force, their false alarms, and grouping of ties."""

import itertools

import numpy as np
import pytest
from scipy import stats

from adapt_jax.core.errors import InputError
from adapt_jax.metrics import comparison, ood_metrics, resampling


def oracle(id_scores, ood_scores):
    """DeLong's covariance by comparing every ID with every OOD image, and averaging over sets."""
    runs = len(id_scores)
    of_id, covariance = np.zeros(id_scores.shape), np.zeros((runs, runs))
    for scores in ood_scores:
        apart = id_scores[:, :, None].astype(np.float64) - scores[:, None, :]
        wins = (apart > 0) + 0.5 * (apart == 0)
        of_id += wins.mean(axis=2) / len(ood_scores)
        covariance += covariance_of(wins.mean(axis=1)) / scores.shape[1] / len(ood_scores) ** 2
    return of_id.mean(axis=1), covariance + covariance_of(of_id) / id_scores.shape[1]


def covariance_of(rows):
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred @ centred.T / (rows.shape[1] - 1)


def correlated(rng, runs, count, shift, methods=1):
    """Scores (runs, count), correlated over runs, and more over those of a method, by images."""
    image = rng.normal(size=count)
    of_method = np.repeat(rng.normal(size=(methods, count)), runs // methods, axis=0)
    own = rng.normal(size=(runs, count))
    return shift + np.sqrt(0.5) * image + np.sqrt(0.2) * of_method + np.sqrt(0.3) * own


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("sets", [1, 3])
def test_delong_is_the_brute_force_covariance(ties, sets):
    rng = np.random.default_rng(0)
    id_scores = correlated(rng, 4, 41, 1.0)
    ood_scores = [correlated(rng, 4, 30 + 7 * i, 0.3 * i) for i in range(sets)]
    if ties:
        id_scores, ood_scores = np.round(2 * id_scores), [np.round(2 * s) for s in ood_scores]
    found = comparison.delong(id_scores, ood_scores)
    values, covariance = oracle(id_scores, ood_scores)
    np.testing.assert_allclose(found.values, values, atol=1e-12, rtol=0)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-10 * covariance.max(), rtol=0)
    for run, value in enumerate(found.values):
        rows = [ood_metrics(id_scores[run], s[run])["auroc"] for s in ood_scores]
        assert value == pytest.approx(np.mean(rows), abs=1e-12)


def test_bootstrap_agrees_with_the_closed_form():
    rng = np.random.default_rng(1)
    id_scores, ood_scores = correlated(rng, 3, 200, 1.0), [correlated(rng, 3, 150, 0.0)]
    closed = comparison.delong(id_scores, ood_scores)
    drawn = comparison.bootstrap(id_scores, ood_scores, "auroc", 2000)
    np.testing.assert_allclose(drawn.values, closed.values, atol=1e-12)
    np.testing.assert_allclose(drawn.covariance, closed.covariance, rtol=0.12)


@pytest.mark.parametrize("metric", resampling.COLUMNS)
def test_bootstrap_estimates_the_metric_of_the_tables(metric):
    rng = np.random.default_rng(2)
    id_scores = np.round(correlated(rng, 2, 60, 1.0), 1)
    ood_scores = [
        np.round(correlated(rng, 2, 40, 0.0), 1),
        np.round(correlated(rng, 2, 50, 0.3), 1),
    ]
    found = comparison.bootstrap(id_scores, ood_scores, metric, 2)
    for run in range(2):
        expected = np.mean([ood_metrics(id_scores[run], s[run])[metric] for s in ood_scores])
        assert found.values[run] == pytest.approx(expected, abs=1e-12)


def test_one_run_each_is_the_test_of_delong():
    rng = np.random.default_rng(3)
    estimate = comparison.delong(correlated(rng, 2, 80, 1.0), [correlated(rng, 2, 90, 0.0)])
    found = comparison.difference(estimate, [0], [1])
    error = np.sqrt(np.array([1, -1]) @ estimate.covariance @ [1, -1])
    value = estimate.values[0] - estimate.values[1]
    assert found.value == pytest.approx(value, abs=1e-14)
    assert found.error == pytest.approx(error, rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(value) / error), rel=1e-10)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, value, error))
    assert found.over == "images"


def test_without_variation_over_images_it_is_the_test_of_welch():
    rng = np.random.default_rng(4)
    first, second = rng.normal(0.9, 0.01, 4), rng.normal(0.88, 0.03, 3)
    estimate = comparison.Estimate(np.concatenate([first, second]), np.zeros((7, 7)))
    found = comparison.difference(estimate, range(4), range(4, 7))
    assert found.p_value == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)
    assert found.over == "images and seeds"
    paired = comparison.difference(estimate, range(3), range(4, 7), paired_seeds=True)
    assert paired.p_value == pytest.approx(stats.ttest_rel(first[:3], second).pvalue)


def test_variation_over_images_is_what_runs_share():
    """Runs that vary with images alike add it once, however many they are."""
    values = np.array([0.9, 0.9, 0.8, 0.8])
    shared = np.kron(np.eye(2), np.ones((2, 2)))  # alike within a method, apart between methods
    found = comparison.difference(comparison.Estimate(values, shared), [0, 1], [2, 3])
    assert found.error == pytest.approx(np.sqrt(2))
    # What each run has of its own is averaged, and is the least that runs can differ by.
    alone = comparison.difference(comparison.Estimate(values, np.eye(4)), [0, 1], [2, 3])
    assert alone.error == pytest.approx(np.sqrt(1 / 2 + 1 / 2))
    p_value = 2 * stats.norm.sf(0.1)  # images decide: no two runs limit the degrees of freedom
    assert alone.p_value == pytest.approx(p_value)
    apart = comparison.Estimate(np.array([5, -5, 0.8, 0.8]), np.eye(4))  # variance 50 of two runs
    found = comparison.difference(apart, [0, 1], [2, 3])
    assert found.error == pytest.approx(np.sqrt(50 / 2 + 1 / 2))
    freedom = (50 / 2 + 1 / 2) ** 2 / (50 / 2) ** 2  # of the first side, whose runs decide
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.8 / found.error, freedom))


def test_the_same_ranking_does_not_differ():
    rng = np.random.default_rng(5)
    id_scores, ood_scores = rng.normal(1, 1, (1, 50)), rng.normal(0, 1, (1, 40))
    both = [np.concatenate([s, np.exp(s)]) for s in (id_scores, ood_scores)]
    found = comparison.difference(comparison.delong(both[0], [both[1]]), [0], [1])
    assert (found.value, found.p_value) == (0, 1)


@pytest.mark.parametrize("seeds", [1, 3])
def test_false_alarms_are_as_rare_as_promised(seeds):
    """A reduced form of benchmarks/null_simulation.py: both methods are equally good."""
    rng = np.random.default_rng(6)
    alarms, draws = 0, 600
    for _ in range(draws):
        shift = 1 + (0.2 * rng.normal(size=(2 * seeds, 1)) if seeds > 1 else 0)
        estimate = comparison.delong(
            correlated(rng, 2 * seeds, 80, shift, 2), [correlated(rng, 2 * seeds, 80, 0.0, 2)]
        )
        found = comparison.difference(estimate, range(seeds), range(seeds, 2 * seeds))
        alarms += found.p_value <= comparison.LEVEL
    assert 0.025 <= alarms / draws <= 0.08  # 3 standard deviations


def test_holm_against_its_definition():
    rng = np.random.default_rng(7)
    p_values = rng.uniform(0, 0.2, 9)
    adjusted = comparison.holm(p_values)
    for level in (0.01, 0.05, 0.2, 0.5):
        order, rejected = np.argsort(p_values), []
        for step, i in enumerate(order):
            if p_values[i] > level / (len(p_values) - step):
                break
            rejected.append(i)
        assert set(np.flatnonzero(adjusted <= level)) == set(rejected)
    assert comparison.holm([]).shape == (0,)
    np.testing.assert_allclose(comparison.holm([0.04, 0.01, 0.9]), [0.08, 0.03, 0.9])


def test_pairwise_adjusts_all_comparisons_together():
    rng = np.random.default_rng(8)
    estimate = comparison.delong(correlated(rng, 3, 90, 1.0), [correlated(rng, 3, 80, 0.0)])
    found = comparison.pairwise(estimate, [[0], [1], [2]])
    pairs = list(itertools.combinations(range(3), 2))
    single = [comparison.difference(estimate, [a], [b]).p_value for a, b in pairs]
    np.testing.assert_allclose([found[a, b] for a, b in pairs], comparison.holm(single))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 1)


def test_two_share_a_group_exactly_if_they_tie():
    rng = np.random.default_rng(9)
    for size in (1, 2, 5, 8):
        values, p_values = rng.normal(size=size), rng.uniform(size=(size, size))
        p_values = np.maximum(p_values, p_values.T)
        groups = comparison.tie_groups(values, p_values, level=0.5)
        for a, b in itertools.combinations(range(size), 2):
            assert any(a in g and b in g for g in groups) == (p_values[a, b] > 0.5)
        assert not any(set(a) < set(b) for a in groups for b in groups)
        assert set(itertools.chain(*groups)) == set(range(size))
        for group in groups:
            assert list(values[list(group)]) == sorted(values[list(group)], reverse=True)
    assert groups[0][0] == np.argmax(values)


def test_groups_overlap_where_ties_do_not_chain():
    p_values = np.array([[1, 0.4, 0.01], [0.4, 1, 0.3], [0.01, 0.3, 1]])
    assert comparison.tie_groups([0.9, 0.92, 0.95], p_values) == [(2, 1), (1, 0)]
    down = comparison.tie_groups([0.9, 0.92, 0.95], p_values, larger_is_better=False)
    assert down == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: comparison.delong(np.ones((2, 5)), []), "one OOD set or more"),
        (lambda: comparison.delong(np.ones((2, 5)), [np.ones((3, 5))]), "the same runs"),
        (lambda: comparison.delong(np.ones((2, 5)), [np.ones((2, 1))]), "at least two images"),
        (lambda: comparison.delong(np.full((1, 5), np.nan), [np.ones((1, 5))]), "finite"),
        (
            lambda: comparison.bootstrap(np.ones((1, 5)), [np.ones((1, 5))], "ap_in"),
            "cannot be resampled",
        ),
        (
            lambda: comparison.bootstrap(np.ones((1, 5)), [np.ones((1, 5))], "fpr95", 1),
            "at least 2 resamples",
        ),
        (
            lambda: comparison.difference(comparison.Estimate(np.ones(2), np.eye(2)), [], [0]),
            "at least one run",
        ),
        (
            lambda: comparison.difference(
                comparison.Estimate(np.ones(3), np.eye(3)), [0, 1], [2], paired_seeds=True
            ),
            "equal numbers",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
