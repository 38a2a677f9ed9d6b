"""ReAct, VRA, ASH, SCALE, DICE against recordings and float64 oracles; what they refuse."""

import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Head, Outputs

NAMES = ["ash", "dice", "react", "scale", "vra"]
SETTINGS = {
    "posthoc_c10_d64": [
        *(f"{name}_p{q}" for name in ("ash", "react", "scale") for q in (65, 85, 90, 95)),
        *("dice_p70", "dice_p90", "vra_90_10"),
    ],
    "posthoc_c100_d32": [
        *(f"{name}_p{q}" for name in ("ash", "react", "scale") for q in (65, 90)),
        *("dice_p70", "dice_p90", "vra_90_10"),
    ],
}


def _close(got, expected, tolerance):
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def _problem(n=40, d=10, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    features = np.abs(rng.normal(size=(n, d))).astype(np.float32) + 0.1
    head = Head(*(rng.normal(size=s).astype(np.float32) for s in ((d, classes), (classes,))))
    return features, head


def _energy(features, head):
    logits = np.asarray(features, np.float64) @ head.kernel + head.bias
    return np.log(np.exp(logits).sum(1))


def _scores(name, rows, head, train=None, **hp):
    detector = detectors.make(name, **hp)
    train = Outputs(rows if train is None else train)
    return detector.score(detector.fit(train, val=train, head=head), Outputs(rows))


@pytest.mark.parametrize("case", SETTINGS)
def test_recordings(golden, case):
    g = golden(case)
    head = Head(g["W"].T, g["b"])
    for setting in SETTINGS[case]:
        name, _, q = setting.partition("_p")
        detector = detectors.make(name, percentile=int(q)) if q else detectors.make("vra")
        state = detector.fit(Outputs(g["train"]), val=Outputs(g["val"]), head=head)
        if name == "react":
            np.testing.assert_allclose(state.high, g[f"{setting}__threshold"], rtol=1e-6)
        for part in ("test", "near", "far"):
            scores = detector.score(state, Outputs(g[part]))
            assert scores.dtype == np.float32
            _close(scores, g[f"{setting}__{part}"], 3e-6)


def test_defaults_are_openoods(golden):
    g = golden("posthoc_c10_d64")
    head = Head(g["W"].T, g["b"])
    for name, q in (("ash", 90), ("scale", 85), ("react", 90), ("dice", 90)):
        scores = _scores(name, g["far"], head, g["val" if name == "react" else "train"])
        _close(scores, g[f"{name}_p{q}__far"], 3e-6)


def test_clipping_on_both_sides():
    rows, head = _problem()
    val = _problem(seed=1)[0] - 0.7  # below zero too
    low, high = np.percentile(val, 20), np.percentile(val, 70)
    _close(
        _scores("vra", rows - 0.7, head, val, upper=70, lower=20),
        _energy(np.clip(rows - 0.7, low, high), head),
        1e-6,
    )
    _close(
        _scores("react", rows - 9.0, head, val, percentile=70),  # no lower bound
        _energy(np.minimum(rows - 9.0, high), head),
        1e-6,
    )


@pytest.mark.parametrize("percentile", [0, 25, 35, 65.5, 94])  # 2.5 and 3.5 round to even
def test_ash_and_scale_against_an_oracle(percentile):
    rows, head = _problem()
    k = 10 - int(np.round(10 * percentile / 100))
    largest = np.argsort(np.argsort(-rows, axis=1), axis=1) < k
    total = rows.sum(1, keepdims=True, dtype=np.float64)
    scores = _scores("ash", rows, head, percentile=percentile)
    _close(scores, _energy(largest * total / k, head), 1e-6)
    ratio = total / (rows * largest).sum(1, keepdims=True)
    _close(
        _scores("scale", rows / 10, head, percentile=percentile),
        _energy(rows / 10 * np.exp(ratio), head),
        1e-5,
    )


@pytest.mark.parametrize("percentile", [0, 70, 90])
def test_dice_against_an_oracle(percentile):
    rows, head = _problem()
    train = _problem(seed=3)[0]
    contribution = train.mean(0)[:, None] * head.kernel
    kept = contribution > np.percentile(contribution, percentile)  # 39 * 0.7 is no index, 0 is
    assert not kept.all()
    scores = _scores("dice", rows, head, train, percentile=percentile)
    _close(scores, _energy(rows, head._replace(kernel=head.kernel * kept)), 1e-6)


@pytest.mark.parametrize("name", ["ash", "scale"])
def test_zero_features_score_the_energy_of_the_bias(name):
    rows, head = _problem()
    rows[3] = 0
    rows[4, 1:] = 0  # fewer positives than k
    scores = _scores(name, rows, head, percentile=60)
    np.testing.assert_allclose(scores[3], _energy(rows[3:4], head)[0], rtol=1e-6)
    assert np.isfinite(scores).all()


def test_scale_of_a_flat_feature_stays_finite():
    _, head = _problem(d=200)
    rows = np.ones((2, 200), np.float32)
    assert np.isfinite(_scores("scale", rows, head, percentile=99.5)).all()


@pytest.mark.parametrize("name", NAMES)
def test_any_split_gives_the_same_bits(name):
    rows, head = _problem(n=530)
    detector = detectors.make(name)
    state = detector.fit(Outputs(rows), val=Outputs(rows[:99]), head=head)
    whole = detector.score(state, Outputs(rows))
    parts = [detector.score(state, Outputs(rows[i : i + 7])) for i in range(0, 70, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[:70])
    np.testing.assert_array_equal(detector.score(state, Outputs(rows[::-1])), whole[::-1])


@pytest.mark.parametrize("name", NAMES)
def test_float64_stays_float64(x64, name):
    rows, head = _problem()
    rows = rows.astype(np.float64)
    scores = _scores(name, rows, head)
    assert scores.dtype == np.float64
    if name == "react":
        _close(scores, _energy(np.minimum(rows, np.percentile(rows, 90)), head), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_half_and_integer_features_are_widened(name):
    rows, head = _problem()
    for dtype in (jnp.bfloat16, np.uint8):
        narrow = (4 * rows).astype(dtype)
        np.testing.assert_array_equal(
            _scores(name, narrow, head), _scores(name, narrow.astype(np.float32), head)
        )


@pytest.mark.parametrize("name", NAMES)
def test_missing_input_is_named(name):
    rows, head = _problem()
    train = Outputs(rows)
    detector = detectors.make(name)
    needs_val = name in ("react", "vra")
    assert detector.needs == ({"head", "val"} if needs_val else {"head"})
    with pytest.raises(InputError, match=f"{name}.fit: .* got head=None"):
        detector.fit(train, val=train)
    if needs_val:
        with pytest.raises(InputError, match=f"{name}.fit: .* got val=None"):
            detector.fit(train, head=head)
    with pytest.raises(InputError, match="kernel .* D = 9"):
        detector.fit(Outputs(rows[:, 1:]), val=Outputs(rows[:, 1:]), head=head)
    with pytest.raises(InputError, match="9 dimensions, but the detector was fitted on 10"):
        detector.score(detector.fit(train, val=train, head=head), Outputs(rows[:, 1:]))


@pytest.mark.parametrize("name", ["ash", "scale"])
def test_features_that_sum_to_less_than_zero_are_refused_in_any_batch(name):
    rows, head = _problem()
    detector = detectors.make(name)
    rows[0, 0] = -1e-2  # a few negative ones are executed as they are
    state = detector.fit(Outputs(rows), head=head)
    detector.score(state, Outputs(rows))
    rows[[7, 9]] *= -1
    with pytest.raises(InputError, match=f"{name}.fit: 2 of 40 .* less than zero .* is row 7"):
        detector.fit(Outputs(rows), head=head)
    for row in (7, 9):
        with pytest.raises(InputError, match=f"{name}.score: 1 of 1 "):
            detector.score(state, Outputs(rows[row : row + 1]))


def test_settings_that_leave_nothing_are_refused():
    rows, head = _problem()
    train = Outputs(rows)
    for name in ("ash", "scale"):
        with pytest.raises(InputError, match=f"{name}.fit: percentile 96 leaves 0 of 10"):
            detectors.make(name, percentile=96).fit(train, head=head)
    with pytest.raises(InputError, match=r"dice.fit: no contribution exceeds the 100th"):
        detectors.make("dice", percentile=100).fit(train, head=head)


@pytest.mark.parametrize("name", ["ash", "dice", "react", "scale"])
def test_bad_percentiles(name):
    for value in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match=r"percentile must (lie in \[0, 100\]|be finite)"):
            detectors.make(name, percentile=value)


def test_bad_bounds():
    with pytest.raises(ValueError, match="lower must be below upper, got 90 and 10"):
        detectors.make("vra", upper=10, lower=90)
    with pytest.raises(ValueError, match=r"upper must lie in \[0, 100\]"):
        detectors.make("vra", upper=1000)
