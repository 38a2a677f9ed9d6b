"""Risk-coverage metrics against a plain transcription of their definitions, in float64."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.metrics import selective

# torch_uncertainty 0.13.0 in float64: AURC, AUGRC, CovAt5Risk and RiskAt80Cov of the ID images'
# softmax confidences, and the SCOD metrics of all images at two costs.
RECORDED = np.load(Path(__file__).parents[1] / "golden" / "selective.npz")


def oracle(scores, losses):
    """AURC and AUGRC of distinct scores: accept one image after the other, integrate by hand."""
    accepted = sorted(zip(scores, losses), reverse=True)
    curve, generalised, total = [], [], 0.0
    for k, (_, loss) in enumerate(accepted, 1):
        total += loss
        curve.append(total / k)
        generalised.append(total / len(accepted))
    areas = []
    for y in (curve, generalised):
        steps = [(a + b) / 2 / len(y) for a, b in itertools.pairwise(y)]
        areas.append(sum(steps) / (1 - 1 / len(y)))
    return areas


def four(scores, losses):
    names = ("aurc", "augrc", "coverage_at_risk", "risk_at_coverage")
    return [getattr(selective, name)(scores, losses) for name in names]


def test_recordings_of_torch_uncertainty():
    scores, errors = RECORDED["scores"], RECORDED["id_errors"]
    found = four(scores[: len(errors)], errors)
    assert found == pytest.approx(RECORDED["selective"], abs=1e-12)
    for cost, expected in zip(RECORDED["joint_costs"], RECORDED["joint"]):
        losses = selective.joint_losses(errors, len(scores) - len(errors), cost)
        assert four(scores, losses) == pytest.approx(expected, abs=1e-12)


def test_example_of_torch_uncertainty():
    """Confidences 0.7, 0.6, 0.8, the second one wrong: 0.0833 in the documentation of AURC."""
    assert selective.aurc([0.7, 0.6, 0.8], [0, 1, 0]) == pytest.approx(1 / 12, abs=1e-15)


def test_areas_against_the_oracle():
    rng = np.random.default_rng(0)
    for size in (2, 3, 50, 400):
        scores, losses = rng.normal(size=size), rng.uniform(size=size) < 0.3
        found = [selective.aurc(scores, losses), selective.augrc(scores, losses)]
        assert found == pytest.approx(oracle(scores, losses), abs=1e-12)


def test_joint_losses_against_the_oracle():
    rng = np.random.default_rng(1)
    scores, errors = rng.normal(size=130), rng.uniform(size=80) < 0.2
    for cost in (0.0, 0.3, 0.5, 1.0):
        losses = selective.joint_losses(errors, 50, cost)
        by_hand = [(1 - cost) * e for e in errors] + [cost] * 50
        np.testing.assert_array_equal(losses, by_hand)
        assert selective.aurc(scores, losses) == pytest.approx(
            oracle(scores, by_hand)[0], abs=1e-12
        )


def test_ties_are_the_mean_over_all_orders():
    scores = np.array([2.0, 1.0, 1.0, 1.0, 0.0])
    losses = np.array([0.0, 1.0, 0.0, 0.5, 1.0])
    orders = [[0, *middle, 4] for middle in itertools.permutations((1, 2, 3))]
    for area, column in ((selective.aurc, 0), (selective.augrc, 1)):
        expected = np.mean([oracle(-np.arange(5), losses[order])[column] for order in orders])
        assert area(scores, losses) == pytest.approx(expected, abs=1e-14)


def test_points_on_the_curve():
    scores, losses = [5.0, 4.0, 3.0, 2.0, 1.0], [0, 1, 0, 0, 1]
    np.testing.assert_allclose(selective.risks(scores, losses), [0, 1 / 2, 1 / 3, 1 / 4, 2 / 5])
    assert selective.coverage_at_risk(scores, losses, 0.25) == 0.8
    assert selective.coverage_at_risk(scores, losses, 0.1) == 0.2
    assert selective.coverage_at_risk(scores, np.ones(5), 0.05) == 0
    assert selective.risk_at_coverage(scores, losses, 0.8) == 0.25
    assert selective.risk_at_coverage(scores, losses, 0.41) == pytest.approx(1 / 3)
    assert selective.risk_at_coverage(scores, losses, 1) == 0.4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: selective.risks([1.0], [0, 1]), "one shape"),
        (lambda: selective.risks([], []), "at least one image"),
        (lambda: selective.risks([np.nan], [0]), "finite"),
        (lambda: selective.aurc([1.0], [0]), "at least two images"),
        (lambda: selective.joint_losses([True], 1, 1.5), "between 0 and 1"),
        (lambda: selective.risk_at_coverage([1.0], [0], 0), r"\(0, 1\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
