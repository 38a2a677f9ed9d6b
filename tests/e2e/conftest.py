"""Runs of tests use one device; the tests of sharding ask for more themselves."""

import jax
import pytest

from adapt_jax.report import publish
from adapt_jax.runtime import sharding


@pytest.fixture(autouse=True, scope="module")
def _one_device():
    with pytest.MonkeyPatch.context() as patch:
        every = sharding.make_mesh
        patch.setattr(
            sharding, "make_mesh", lambda devices=None: every(devices or jax.devices()[:1])
        )
        yield


@pytest.fixture
def no_page(monkeypatch):
    """Evaluations leave report.html out: drawing it takes longer than some of them."""
    monkeypatch.setattr(publish.page, "write", lambda *_: None)
