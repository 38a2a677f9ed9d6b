"""What a model that was trained with a sigmoid (SigLIP) means for scores made of a softmax."""

import sys

import numpy as np
import pytest

from adapt_jax import zero_shot_detectors
from adapt_jax.core.errors import InputError
from adapt_jax.zero_shot_detectors.base import cosines
from tests.zero_shot_detectors import data

SCALE, BIAS = 30.0, -22.0


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    texts = data.bank(rng)
    return texts, data.images(rng, texts, 24)


def scored(name, problem, **options):
    """The scores of two batches, one after the other."""
    texts, images = problem
    detector = zero_shot_detectors.make(name, **options)
    state, scores = detector.init(texts), []
    for batch in np.split(images, 2):
        found, state = detector.step(state, batch, np.ones(len(batch), bool))
        scores.append(found)
    return np.concatenate(scores)


@pytest.mark.parametrize("name", ["mcm", "neglabel", "adaneg"])
def test_a_bias_of_all_logits_changes_no_softmax(name, problem, monkeypatch):
    options = data.SMALL[name] | {"logit_scale": SCALE}
    without = scored(name, problem, **options)
    module = sys.modules[zero_shot_detectors.FACTORIES[name].__module__]
    monkeypatch.setattr(module, "cosines", lambda a, b: cosines(a, b) + BIAS / SCALE)
    np.testing.assert_allclose(scored(name, problem, **options), without, atol=2e-5)


def test_the_sigmoid_of_mcm_is_that_of_the_nearest_label(problem):
    texts, images = problem
    largest = (images @ texts.labels.T).max(1)
    found = scored("mcm", problem, logit_scale=SCALE, logit_bias=BIAS)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-SCALE * largest - BIAS)), rtol=1e-5)
    assert (np.argsort(found) == np.argsort(largest)).all()
    softmax = scored("mcm", problem, logit_scale=SCALE)
    assert (np.argsort(softmax) != np.argsort(largest)).any()
    halved = scored("mcm", problem, logit_scale=SCALE, logit_bias=BIAS, temperature=2.0)
    np.testing.assert_allclose(halved, 1 / (1 + np.exp(-SCALE / 2 * largest - BIAS)), rtol=1e-5)
    for wrong in (np.nan, np.inf, "a"):
        with pytest.raises((InputError, ValueError), match="logit_bias"):
            zero_shot_detectors.make("mcm", logit_bias=wrong)
    assert zero_shot_detectors.parse("mcm?logit_bias=-12.5")[0].make()


def test_negatives_against_labels_by_sigmoids_tend_to_the_softmax(problem):
    """Far from a match a sigmoid is an exponential, so its share of the ID labels is NegLabel's."""
    texts, images = problem
    softmax = scored("neglabel", problem, groups=1, logit_scale=SCALE)
    logits = [SCALE * (images @ rows.T).astype(np.float64) for rows in texts]

    def share(bias):
        own, other = (np.sum(1 / (1 + np.exp(-x - bias)), axis=1) for x in logits)
        return own / (own + other)

    np.testing.assert_allclose(share(-50.0), softmax, atol=1e-5)
    assert np.abs(share(0.0) - softmax).max() > 0.01
