"""The results a model card shows: those of the exported detector, however it was spelt."""

import numpy as np
import pytest

from adapt_jax.export import card
from adapt_jax.results import result_rows


@pytest.mark.parametrize(
    ("evaluated", "exported", "adapted", "same"),
    [
        ("knn", "knn?k=50", {}, True),
        ("knn?k=50", "knn", {}, True),
        ("knn?normalize=True&k=50", "knn", {}, True),
        ("knn", "knn?k=7", {"knn": {"k": 7}}, True),
        ("knn", "knn?k=50", {"knn": {"k": 7}}, False),
        ("knn?k=5", "knn", {}, False),
        ("mahalanobis", "knn", {}, False),
    ],
)
def test_one_detector_under_two_names(evaluated, exported, adapted, same):
    row = result_rows.row(evaluated, "a", "near", np.arange(9.0), np.arange(7.0))
    results = {"rows": [row], "protocol": "p", "id": "i"}
    text = card._results(
        {
            "method": "palm",
            "results": results | {"adapted": adapted},
            "detector": {"detector": exported},
        }
    )
    assert ("was not evaluated" not in text) == same
