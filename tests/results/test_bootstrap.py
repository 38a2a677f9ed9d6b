"""Intervals of metrics over resampled test images."""

import numpy as np
import pytest

from adapt_jax import metrics
from adapt_jax.core.errors import InputError
from adapt_jax.metrics import comparison, resampling
from adapt_jax.results import bootstrap, result_rows


def test_a_resample_that_is_the_sample_gives_the_metrics():
    rng = np.random.default_rng(0)
    for id_scores, ood_scores in (
        (rng.normal(1, 1, 300), rng.normal(0, 1, 200)),
        (rng.integers(3, 9, 60), rng.integers(0, 6, 40)),  # ties
    ):
        values = np.unique(np.concatenate([id_scores, ood_scores]))
        counts = [np.array([(s == v).sum() for v in values]) for s in (id_scores, ood_scores)]
        expected = metrics.ood_metrics(id_scores, ood_scores)
        found = dict(zip(resampling.COLUMNS, resampling.of_counts(*counts)))
        for name in resampling.COLUMNS:
            assert found[name] == pytest.approx(expected[name], abs=1e-12), name


def rows_of(*pairs, resamples):
    """The rows of OOD sets in one group and their mean, from ID and OOD scores."""
    rows = [result_rows.row("d", f"s{i}", "far", *pair) for i, pair in enumerate(pairs)]
    return bootstrap.with_means(rows, pairs, resamples)


def test_intervals_cover_the_truth_as_often_as_they_say():
    truth = 0.7602499389065233  # Phi(1 / sqrt 2), AUROC of two unit Gaussians one apart
    covered = np.zeros(3)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        own = rng.normal(1, 1, 200)
        pairs = [(own, rng.normal(0, 1, 200)) for _ in range(2)]
        for i, row in enumerate(rows_of(*pairs, resamples=200)):
            assert row["auroc_low"] < row["auroc_high"]
            covered[i] += row["auroc_low"] <= truth <= row["auroc_high"]
    assert (covered >= 51).all()  # 57 expected; fewer than 51 has probability 0.002


def test_sets_of_a_group_share_the_id_draws():
    """The mean over two copies of a set varies with OOD images less, with ID images alike."""
    rng = np.random.default_rng(0)
    own, other = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
    one, two, mean = rows_of((own, other), (own, other), resamples=400)
    widths = [r["auroc_high"] - r["auroc_low"] for r in (one, two, mean)]
    variance = comparison.delong(own[None], [other[None]]).covariance.item()
    of_id = comparison.delong(own[None], [other[None], other[None]]).covariance.item()
    assert widths[2] / widths[0] == pytest.approx(np.sqrt(of_id / variance), rel=0.15)


def test_the_same_rows_have_the_same_intervals():
    rng = np.random.default_rng(0)
    pair = rng.normal(size=50), rng.normal(size=50)
    assert rows_of(pair, resamples=50) == rows_of(pair, resamples=50)
    assert not any(key.endswith("_low") for key in rows_of(pair, resamples=0)[0])
    with pytest.raises(InputError, match="resamples from 2"):
        rows_of(pair, resamples=1)
