"""OODDetector keeps scikit-learn's conventions, and is the detector of that name."""

import pickle

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import adapt_jax
from adapt_jax.core.errors import InputError


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    return rng.normal(size=(120, 5)) + 4 * np.eye(5)[labels], labels


@pytest.mark.filterwarnings("default")
@parametrize_with_checks(
    [adapt_jax.OODDetector("mahalanobis"), adapt_jax.OODDetector("nearest_mean")]
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_it_is_the_detector(rows):
    X, y = rows
    found = adapt_jax.OODDetector("mahalanobis").fit(X, np.array(["a", "b", "c"])[y])
    detector = adapt_jax.detectors.make("mahalanobis")
    np.testing.assert_array_equal(
        found.score_samples(X), detector.score(detector.fit(adapt_jax.Outputs(X, None, y)), X)
    )
    assert list(found.classes_) == ["a", "b", "c"]
    assert np.mean(found.predict(X) == 1) == 0.95
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.decision_function(X), found.decision_function(X))


def test_it_is_a_step_of_a_pipeline(rows):
    X, y = rows
    steps = make_pipeline(StandardScaler(), adapt_jax.OODDetector("ssd", contamination=0.1))
    steps.fit(X, y)
    assert np.mean(steps.predict(X) == -1) == pytest.approx(0.1)
    assert (steps.predict(X + 100) == -1).all()


def test_what_it_cannot_do_is_said(rows):
    X, y = rows
    for wrong, words in (
        ({"detector": "msp"}, "msp needs logits; OODDetector has features and labels only"),
        ({"detector": "odin"}, "odin needs images"),
        ({"tpr": 0.9, "contamination": 0.1}, "not both"),
        ({"tpr": 95}, "is a share in"),
    ):
        with pytest.raises(InputError, match=words):
            adapt_jax.OODDetector(**wrong).fit(X, y)
    with pytest.raises(InputError, match="X has 120 rows and y 3"):
        adapt_jax.OODDetector().fit(X, y[:3])
