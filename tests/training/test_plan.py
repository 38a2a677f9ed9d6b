"""How often a run is recorded."""

import pytest

from adapt_jax.training.plan import steps_between_records


@pytest.mark.parametrize(
    ("log_every", "total", "found"),
    [
        (100, 50_000, 100),  # as asked for
        (100, 1000, 50),  # 20 records
        (100, 30, 5),  # a single step may be skipped; five, and the run is lost
        (2, 30, 2),
        (100, 0, 5),
    ],
)
def test_short_runs_have_curves(log_every, total, found):
    assert steps_between_records(log_every, total) == found
