"""Intervals of metrics over resampled test images."""

import numpy as np
import pytest

from adapt_jax import metrics
from adapt_jax.core.errors import InputError
from adapt_jax.results import bootstrap


def test_a_resample_that_is_the_sample_gives_the_metrics():
    rng = np.random.default_rng(0)
    for id_scores, ood_scores in (
        (rng.normal(1, 1, 300), rng.normal(0, 1, 200)),
        (rng.integers(3, 9, 60), rng.integers(0, 6, 40)),  # ties
    ):
        values = np.unique(np.concatenate([id_scores, ood_scores]))
        counts = [np.array([(s == v).sum() for v in values]) for s in (id_scores, ood_scores)]
        expected = metrics.ood_metrics(id_scores, ood_scores)
        found = dict(zip(bootstrap.COLUMNS, bootstrap._metrics(*counts)))
        for name in bootstrap.COLUMNS:
            assert found[name] == pytest.approx(expected[name], abs=1e-12), name


def test_intervals_cover_the_truth_as_often_as_they_say():
    truth = 0.7602499389065233  # Phi(1 / sqrt 2), AUROC of two unit Gaussians one apart
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = bootstrap.intervals(rng.normal(1, 1, 200), rng.normal(0, 1, 200), 200, seed=seed)
        assert found["auroc_low"] < found["auroc_high"]
        covered += found["auroc_low"] <= truth <= found["auroc_high"]
    assert covered >= 51  # 57 expected; fewer than 51 has probability 0.002


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.normal(size=50)
    assert bootstrap.intervals(a, b, 50) == bootstrap.intervals(a, b, 50)
    with pytest.raises(InputError, match="resamples from 2"):
        bootstrap.intervals(a, b, 1)
