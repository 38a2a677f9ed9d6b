import numpy as np
import pytest

from adapt_jax import detectors, methods, zero_shot_detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs
from adapt_jax.zero_shot_detectors import StreamDetector


def test_values_are_read_by_their_type():
    rng = np.random.default_rng(0)
    bank, rows = Outputs(rng.normal(size=(20, 3))), Outputs(rng.normal(size=(4, 3)))
    raw = np.sort(((rows.features[:, None] - bank.features[None]) ** 2).sum(-1), axis=1)
    specs = detectors.parse("knn?k=3&normalize=false, knn?k=1&normalize=False")
    made = [spec.make() for spec in specs] + [detectors.make("knn?normalize=False", k=2)]
    for detector, k in zip(made, (3, 1, 2), strict=True):
        scores = detector.score(detector.fit(bank), rows)
        np.testing.assert_allclose(scores, -raw[:, k - 1], rtol=1e-5, err_msg=f"k={k}")


def test_another_folder_of_detectors():
    specs = zero_shot_detectors.parse("mcm,neglabel?group_seed=None")
    assert [s.text for s in specs] == ["mcm", "neglabel?group_seed=None"]
    assert specs[1].params == {"group_seed": None}
    every = zero_shot_detectors.parse("all")
    assert {spec.text for spec in every} == set(zero_shot_detectors.names())
    assert isinstance(zero_shot_detectors.make("adaneg?proxy=sample"), StreamDetector)
    with pytest.raises(InputError, match="unknown zero-shot detector 'knn'"):
        zero_shot_detectors.parse("knn")


@pytest.mark.parametrize(
    ("spec", "given", "error", "words"),
    [
        ("palm?temperature=1", {"temperature": 2}, TypeError, "temperature is given twice"),
        ("palm?temprature=1", {}, TypeError, "no hyper-parameter 'temprature' .*'temperature'"),
        ("plam", {}, ValueError, "did you mean 'palm'.*known: adapt, ccl"),
        ("palm?temperature", {}, ValueError, "name\\?key=value"),
        ("palm", {}, TypeError, "'palm' needs num_classes, feature_dim"),
    ],
)
def test_making_one_names_mistakes(spec, given, error, words):
    with pytest.raises(error, match=words):
        methods.make(spec, **given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "known: .*knn"),
        ("knn,knn", "named twice"),
        ("knm", "did you mean 'knn'"),
        ("knn?kk=3", "no hyper-parameter 'kk'"),
        ("knn?k", "name\\?key=value"),
        ("knn?k=0", "positive integer, got 0"),
        ("knn?k=5.0", "positive integer, got 5.0"),
        ("knn?normalize=maybe", "true or false, got 'maybe'"),
        ("mahalanobis?covariance=none", "covariance"),
    ],
)
def test_mistakes_are_named(text, words):
    with pytest.raises(InputError, match=words):
        detectors.parse(text)
