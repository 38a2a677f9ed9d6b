"""How long the fuzzing takes: `--hypothesis-profile=long` for a quarter of an hour by hand.

`ci` tries the same inputs every time; `long` tries new ones, and keeps what failed.
"""

import pytest

hypothesis = pytest.importorskip("hypothesis")  # of the test extra

QUIET = {
    "deadline": None,
    "suppress_health_check": list(hypothesis.HealthCheck),
    "print_blob": True,
}
hypothesis.settings.register_profile(
    "ci", max_examples=150, derandomize=True, database=None, **QUIET
)
hypothesis.settings.register_profile("long", max_examples=3000, **QUIET)


def pytest_configure(config):
    if not config.getoption("--hypothesis-profile", None):
        hypothesis.settings.load_profile("ci")
