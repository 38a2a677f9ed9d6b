"""The band and the verdict, against numbers worked out by hand."""

import pytest

from adapt_jax.reproduce import verdict
from adapt_jax.reproduce.published import Figure

# Quantiles of Student's t, 97.5 %, as tables print them.
T = {1: 12.706, 2: 4.303, 4: 2.776}


def test_both_sides_vary():
    # Both have variance 1 (divisor n - 1): error^2 = 1/3 + 1/3, and Welch's freedom is 4.
    theirs = Figure(91.5, (2 / 3) ** 0.5)
    half = verdict.band([90.0, 91.0, 92.0], theirs, 3)
    assert half == pytest.approx(T[4] * (2 / 3) ** 0.5, abs=1e-3)


def test_one_side_varies_and_the_other_is_taken_to_vary_as_much():
    one = verdict.band([90.0, 91.0, 92.0], Figure(91.5), 1)  # variance 1, error^2 = 1/3 + 1
    assert one == pytest.approx(T[2] * (4 / 3) ** 0.5, abs=2e-3)
    assert verdict.band([90.0, 91.0, 92.0], Figure(91.5), 0) == one  # not said: one run
    theirs = verdict.band([91.0], Figure(91.5, 0.5), 2)  # variance 0.5, error^2 = 0.25 + 0.5
    assert theirs == pytest.approx(T[1] * 0.75**0.5, abs=2e-3)


def test_nothing_is_known_of_single_runs_and_rounding_is_allowed_for():
    assert verdict.band([91.0], Figure(91.5), 1) is None
    assert verdict.band([91.0], Figure(91.5), 1, tolerance=0.4) == 0.4
    assert verdict.band([91.0, 91.0], Figure(91.0, 0.0), 3) == 0.005


@pytest.mark.parametrize(
    ("column", "ours", "state"),
    [
        ("auroc", 91.0, "within"),
        ("auroc", 92.0, "better"),
        ("auroc", 90.0, "worse"),
        ("fpr95", 92.0, "worse"),
        ("fpr95", 90.0, "better"),
    ],
)
def test_less_fpr_and_more_auroc_are_better(column, ours, state):
    found = verdict.compare("tin", column, [ours], Figure(91.0), 1, tolerance=0.5)
    assert found.state == state
    assert found.difference == pytest.approx(ours - 91.0)
    assert found.spread is None


def judged(*states):
    ours = {"within": 91.0, "better": 95.0, "worse": 80.0}
    tolerances = {s: 0.0 if s == "unknown" else 0.5 for s in states}
    return [
        verdict.compare("tin", "auroc", [ours.get(s, 91.0)], Figure(91.0), 1, tolerances[s])
        for s in states
    ]


def test_the_sentence():
    say = verdict.sentence
    text = "reproduced: all 2 figures within the band (at most ±0.50 points)"
    assert say(judged("within", "within")) == text
    assert say(judged("within", "worse", "better")).startswith("not reproduced: 2 of 3 figures")
    assert "1 better, 1 worse" in say(judged("within", "worse", "better"))
    assert say(judged("unknown")).startswith("no verdict: one run on both sides")
    assert say([]).startswith("nothing to compare")
    assert say(judged("better", "within"), floor=True) == "not below the floor"
    assert say(judged("worse", "within"), floor=True) == "below the floor in 1 of 2 figures"


def test_a_part_is_not_called_a_reproduction():
    text = verdict.sentence(judged("within"), reservations=["judged on 1 of 6 sets (tin)"])
    assert text.startswith("agrees: all 1 figures within the band")
    assert text.endswith("; judged on 1 of 6 sets (tin)")
    text = verdict.sentence(judged("worse"), reservations=["other images"])
    assert text.startswith("differs: 1 of 1 figures")
    assert "reproduced" not in text
