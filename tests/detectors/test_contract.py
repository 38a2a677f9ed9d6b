"""What holds for every distance detector: sign, splits, refusals, names."""

import numpy as np
import pytest

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs

VARIANTS = [
    ("mahalanobis", {}),
    ("mahalanobis", {"normalize": False, "covariance": "within"}),
    ("knn", {"k": 7}),
    ("knn", {"k": 3, "normalize": False}),
    ("palm_ssd", {}),
    ("ssd", {}),
    ("ssd", {"per_class": True}),
    ("nearest_mean", {}),
]
each = pytest.mark.parametrize(("name", "hp"), VARIANTS, ids=lambda v: str(v) if v else "")


def _fitted(name, hp, n=900, d=33):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 6
    train = rng.normal(size=(n, d)) + 4 * rng.normal(size=(6, d))[labels]
    train = np.maximum(train, 0).astype(np.float32)  # as after a ReLU
    detector = detectors.make(name, **hp)
    held_out = train + 0.05 * rng.normal(size=train.shape).astype(np.float32)
    far = -3 * rng.normal(size=(200, d)).astype(np.float32)
    return detector, detector.fit(Outputs(train, None, labels)), held_out, far


@each
def test_larger_is_more_in_distribution(name, hp):
    detector, state, held_out, far = _fitted(name, hp)
    near, away = (detector.score(state, Outputs(x)) for x in (held_out, far))
    assert near.shape == (900,)
    assert np.median(near) > np.max(away)


@each
def test_any_split_gives_the_same_bits(name, hp):
    detector, state, held_out, _ = _fitted(name, hp)
    whole = detector.score(state, Outputs(held_out))
    for size in (1, 7, 256, 333, 512):
        last = 40 if size == 1 else len(held_out)
        parts = [
            detector.score(state, Outputs(held_out[i : i + size])) for i in range(0, last, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole[:last])
    order = np.random.default_rng(1).permutation(len(held_out))
    np.testing.assert_array_equal(detector.score(state, Outputs(held_out[order])), whole[order])


@each
def test_bad_features_are_refused_with_counts(name, hp):
    detector, state, held_out, _ = _fitted(name, hp)
    broken = held_out[:9].copy()
    broken[[2, 5], 3] = np.nan, np.inf
    labels = np.arange(9) % 3
    for call in (
        lambda x: detector.fit(Outputs(x, None, labels)),
        lambda x: detector.score(state, Outputs(x)),
    ):
        with pytest.raises(InputError, match=rf"{name}\.\w+: 2 of 9 .* first is row 2"):
            call(broken)
        with pytest.raises(InputError, match="there are no features"):
            call(held_out[:0])
        with pytest.raises(InputError, match=r"shape \(N, D\)"):
            call(held_out[0])
    with pytest.raises(InputError, match="have 32 dimensions, but the detector was fitted on 33"):
        detector.score(state, Outputs(held_out[:, 1:]))


def test_unknown_names_and_hyper_parameters_are_named():
    assert {"mahalanobis", "knn", "palm_ssd"} <= set(detectors.names())
    with pytest.raises(ValueError, match="did you mean 'mahalanobis'.*knn"):
        detectors.make("mahalanobs")
    with pytest.raises(TypeError, match="no hyper-parameter 'K'"):
        detectors.make("knn", K=5)
