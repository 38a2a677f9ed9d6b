"""Every column against recorded numbers, a worked example and independent definitions."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from adapt_jax.core.errors import InputError
from adapt_jax.metrics import COLUMNS, ood_metrics
from adapt_jax.metrics.ood import roc_curve

GOLDEN = Path(__file__).parents[1] / "golden"
ADAPT = np.load(GOLDEN / "metrics.npz")
OPENOOD = np.load(GOLDEN / "openood_metrics.npz")


def _close(row, key, expected):
    assert row[key] == pytest.approx(expected, abs=1e-12, rel=0), key


@pytest.mark.parametrize("case", sorted({k[:-3] for k in ADAPT.files if k.endswith("_id")}))
def test_adapt_and_palm_recordings(case):
    row = ood_metrics(ADAPT[f"{case}_id"], ADAPT[f"{case}_ood"])
    for key, value in zip(["fpr95_idpos_nearest", "auroc", "ap_in"], ADAPT[f"{case}_adapt"]):
        _close(row, key, value)
    # The same code with OOD positive is our ID-positive code on swapped, negated scores.
    swapped = ood_metrics(-ADAPT[f"{case}_ood"], -ADAPT[f"{case}_id"])
    for key, value in zip(["fpr95_idpos_nearest", "auroc", "ap_in"], ADAPT[f"{case}_adapt_oodpos"]):
        _close(swapped, key, value)
    _close(row, "ap_out", ADAPT[f"{case}_adapt_oodpos"][2])
    if f"{case}_palm" in ADAPT.files:
        _close(row, "fpr95_idpos_pct", ADAPT[f"{case}_palm"][0])
        _close(row, "auroc", ADAPT[f"{case}_palm"][1])


@pytest.mark.parametrize("case", sorted({k.split("__")[0] for k in OPENOOD.files}))
def test_openood_and_neglabel_recordings(case):
    row = ood_metrics(OPENOOD[f"{case}__id"], OPENOOD[f"{case}__ood"])
    recorded = {
        "__openood": ["fpr95", "auroc", "aupr_in", "aupr_out"],
        "__openood_idpos_fpr": ["fpr95_idpos_first"],
        "__neglabel": ["fpr95_idpos_nearest", "auroc", "ap_in", "ap_out"],
        "__adapt": ["fpr95_idpos_nearest", "auroc", "ap_in"],
        "__palm": ["fpr95_idpos_pct", "auroc"],
    }
    for suffix, keys in recorded.items():
        for key, value in zip(keys, OPENOOD[case + suffix]):
            _close(row, key, value)


@pytest.mark.parametrize("levels", [2, 7, 10_000])
def test_curves_are_those_of_scikit_learn(levels):
    """With and without ties; ID positive, then OOD positive."""
    rng = np.random.default_rng(levels)
    own, other = rng.integers(levels // 5, levels, 90), rng.integers(0, levels, 140)
    found = ood_metrics(own, other)
    fpr, tpr, _ = metrics.roc_curve(np.arange(230) < 90, np.r_[own, other])
    np.testing.assert_array_equal(roc_curve(own, other), (fpr, tpr))
    scores, is_id = np.r_[own, other], np.arange(230) < 90
    for sign, positive, area, average, first in (
        (1, is_id, "aupr_in", "ap_in", "fpr95_idpos_first"),
        (-1, ~is_id, "aupr_out", "ap_out", "fpr95"),
    ):
        fpr, tpr, _ = metrics.roc_curve(positive, sign * scores)
        precision, recall, _ = metrics.precision_recall_curve(positive, sign * scores)
        expected = {
            "auroc": metrics.roc_auc_score(positive, sign * scores),
            area: metrics.auc(recall, precision),
            average: metrics.average_precision_score(positive, sign * scores),
            first: fpr[np.argmax(tpr >= 0.95)],
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-15), name


def test_worked_example():
    """20 ID and 10 OOD scores on which the four FPR95 are 0.45, 0.50, 0.80 and 0.50."""
    id_scores = [0.99 - 0.01 * i for i in range(18)] + [0.40, 0.20]
    ood_scores = [0.885, 0.60, 0.55, 0.50, 0.45, 0.35, 0.30, 0.25, 0.15, 0.10]
    row = ood_metrics(id_scores, ood_scores)
    _close(row, "fpr95", 0.45)
    _close(row, "fpr95_idpos_first", 0.50)
    _close(row, "fpr95_idpos_nearest", 0.80)
    _close(row, "fpr95_idpos_pct", 0.50)
    _close(row, "auroc", 0.900)
    assert round(row["aupr_in"], 4) == 0.9518
    assert round(row["ap_in"], 4) == 0.9531
    assert (row["n_id"], row["n_ood"]) == (20, 10)


def test_auroc_is_the_probability_of_the_right_order_with_ties_as_half():
    rng = np.random.default_rng(0)
    id_scores, ood_scores = rng.integers(2, 9, 37), rng.integers(0, 7, 53)
    difference = id_scores[:, None] - ood_scores[None]
    expected = np.mean(difference > 0) + 0.5 * np.mean(difference == 0)
    _close(ood_metrics(id_scores, ood_scores), "auroc", expected)


def test_nearest_closed_form_on_plateaus():
    """Strictly above the next lower distinct ID score, unless the recall used is 1."""
    rng = np.random.default_rng(1)
    for n in (7, 20, 60, 200):
        id_scores, ood_scores = rng.integers(5, 25, n) / 10, rng.integers(0, 20, 90) / 10
        levels = np.unique(id_scores)[::-1]
        recall = np.array([np.mean(id_scores >= t) for t in levels])
        best = np.flatnonzero(np.abs(recall - 0.95) == np.abs(recall - 0.95).min())[-1]
        if recall[best] == 1:
            expected = np.mean(ood_scores >= levels[-1])
        else:
            expected = np.mean(ood_scores > levels[best + 1])
        _close(ood_metrics(id_scores, ood_scores), "fpr95_idpos_nearest", expected)


def test_constant_scores_and_perfect_separation():
    row = ood_metrics(np.ones(90), np.ones(30))
    expected = {"auroc": 0.5, "fpr95": 1, "fpr95_idpos_first": 1, "fpr95_idpos_nearest": 1}
    expected |= {"fpr95_idpos_pct": 0, "aupr_in": 0.875, "aupr_out": 0.625, "ap_in": 0.75}
    for key, value in expected.items():
        _close(row, key, value)
    perfect = ood_metrics([3.0, 2.0], [1.0])
    assert [perfect[k] for k in ("auroc", "fpr95", "aupr_in", "ap_out")] == [1, 0, 1, 1]


def test_float32_scores_one_ulp_apart_are_told_apart():
    low = np.float32(1e6)
    high = np.nextafter(low, np.float32(np.inf))
    assert ood_metrics(np.full(5, high), np.full(7, low))["auroc"] == 1.0
    tiny = np.float32(1e-38)
    assert ood_metrics(np.full(5, 2 * tiny), np.full(7, tiny))["fpr95"] == 0.0


def test_monotone_maps_change_nothing():
    rng = np.random.default_rng(2)
    id_scores, ood_scores = rng.normal(1, 1, 81), rng.normal(0, 1, 64)
    row, mapped = (
        ood_metrics(id_scores, ood_scores),
        ood_metrics(np.exp(id_scores), np.exp(ood_scores)),
    )
    row.pop("fpr95_idpos_pct"), mapped.pop("fpr95_idpos_pct")  # interpolates between scores
    assert row == mapped


def test_columns_name_every_key_in_order():
    row = ood_metrics([1.0, 2.0], [0.5])
    assert list(row) == [name for name, _ in COLUMNS]
    assert all(type(row[k]) is (int if k.startswith("n_") else float) for k in row)


@pytest.mark.parametrize(
    ("id_scores", "ood_scores", "message"),
    [
        ([1.0, np.nan, np.inf], [0.0], "2 of 3 ID scores"),
        ([1.0], [np.nan], "1 of 1 OOD scores"),
        ([], [0.0], "no ID scores"),
        ([0.0], [], "no OOD scores"),
        (np.zeros((3, 1)), [0.0], r"shape \(N,\), got \(3, 1\)"),
    ],
)
def test_bad_input(id_scores, ood_scores, message):
    with pytest.raises(InputError, match=message):
        ood_metrics(id_scores, ood_scores)
