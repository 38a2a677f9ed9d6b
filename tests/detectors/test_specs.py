import numpy as np
import pytest

from adapt_jax import zero_shot_detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs
from adapt_jax.detectors import specs as detector_specs


def test_values_are_read_by_their_type():
    rng = np.random.default_rng(0)
    bank, rows = Outputs(rng.normal(size=(20, 3))), Outputs(rng.normal(size=(4, 3)))
    raw = np.sort(((rows.features[:, None] - bank.features[None]) ** 2).sum(-1), axis=1)
    made = detector_specs.make("knn?k=3&normalize=false, knn?k=1&normalize=False")
    for (spec, detector), k in zip(made.items(), (3, 1), strict=True):
        scores = detector.score(detector.fit(bank), rows)
        np.testing.assert_allclose(scores, -raw[:, k - 1], rtol=1e-5, err_msg=spec)


def test_another_folder_of_detectors():
    specs = detector_specs.parse("mcm,neglabel?group_seed=None", zero_shot_detectors)
    assert [s.text for s in specs] == ["mcm", "neglabel?group_seed=None"]
    assert specs[1].params == {"group_seed": None}
    every = detector_specs.make("all", zero_shot_detectors)
    assert set(every) == set(zero_shot_detectors.names())
    with pytest.raises(InputError, match="unknown zero-shot detector 'knn'"):
        detector_specs.parse("knn", zero_shot_detectors)


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
        detector_specs.make(text)
