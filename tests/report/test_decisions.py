"""The table of conformal decisions, counted by hand."""

import numpy as np
import pytest

from adapt_jax.metrics import conformal
from adapt_jax.report import decisions

SCORES = {"id": np.arange(1.0, 100.0), "svhn": np.array([0.0, 4.5, 5.0, 50.0])}


def test_ninety_nine_calibration_scores():
    rows = decisions.table(SCORES, {"svhn": "far"})
    assert [row["promise"].alpha for row in rows] == [0.01, 0.05, 0.1]
    # p-values of the four: 1, 5, 6 and 51 hundredths.
    assert [row["rejected"]["svhn"] for row in rows] == [0.25, 0.5, 0.75]
    assert [row["threshold"] for row in rows] == [1.0, 5.0, 10.0]
    assert rows[1]["promise"] == conformal.guarantee(99, 0.05)


def test_shifted_images_calibrate_too_and_few_images_promise_less():
    halves = {"id": SCORES["id"][::2], "cs": SCORES["id"][1::2], "svhn": SCORES["svhn"]}
    rows = decisions.table(halves, {"cs": "shifted", "svhn": "far"})
    assert [row["rejected"] for row in rows] == [{"svhn": 0.25}, {"svhn": 0.5}, {"svhn": 0.75}]
    few = {"id": SCORES["id"][:20], "svhn": SCORES["svhn"]}
    assert [r["promise"].alpha for r in decisions.table(few, {"svhn": "far"})] == [0.05, 0.1]


@pytest.mark.parametrize("name", ["id-svhn", "svhn"])
def test_a_stream_promises_nothing(name):
    assert decisions.table({name: SCORES["id"]}, {"svhn": "far"}) == []
