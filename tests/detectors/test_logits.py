"""Scores of logits (MSP to temperature scaling): recordings, float64 oracles, refusals."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs

SETTINGS = {
    "msp": ("msp", {}, 1e-5),
    "mls": ("mls", {}, 1e-5),
    "ebo_T1": ("energy", {}, 1e-5),
    "ebo_T2": ("energy", {"temperature": 2.0}, 1e-5),
    "gen_g0.1_M100": ("gen", {}, 2e-4),
    "gen_g0.1_M5": ("gen", {"top_m": 5}, 2e-4),
    "gen_g0.5_M10": ("gen", {"gamma": 0.5, "top_m": 10}, 2e-4),
    "gen_g0.01_M3": ("gen", {"gamma": 0.01, "top_m": 3}, 2e-4),
    "klm": ("klm", {}, 1e-4),
    "temp_scaling": ("temperature_scaling", {}, 1e-5),
}
FILES = ["posthoc_c10_d64", "posthoc_c100_d32"]


def _close(got, expected, tolerance):
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def _outputs(logits, labels=None):
    logits = np.asarray(logits)
    return Outputs(np.zeros((len(logits), 1), np.float32), logits, labels)


def _recorded(g, part):
    return _outputs(g[part] @ g["W"].T + g["b"], g.get(f"y_{part}"))


def _normal(seed, *shape):
    return 4 * np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _softmax(logits):
    p = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def _scores(name, hp, rows, val=None):
    detector = detectors.make(name, **hp)
    return detector.score(detector.fit(_outputs(rows), val=val), _outputs(rows))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", FILES)
def test_recordings(golden, case, setting):
    g = golden(case)
    name, hp, tolerance = SETTINGS[setting]
    detector = detectors.make(name, **hp)
    val = _recorded(g, "val")
    if name == "klm":
        val = val._replace(labels=None)
    state = detector.fit(_recorded(g, "train"), val=val)
    for part in ("test", "near", "far"):
        scores = detector.score(state, _recorded(g, part))
        assert scores.dtype == np.float32
        _close(scores, g[f"{setting}__{part}"], tolerance)


@pytest.mark.parametrize("case", FILES)
def test_the_temperature_is_the_official_one_not_the_optimum(golden, case):
    g = golden(case)
    val = _recorded(g, "val")
    state = detectors.make("temperature_scaling").fit(None, val=val)
    np.testing.assert_allclose(state.temperature, g["temp_scaling__T"], rtol=1e-5)
    nll = [
        -np.log(_softmax(val.logits / t)[np.arange(len(val.labels)), val.labels]).mean()
        for t in (float(state.temperature), float(state.temperature) - 0.05)
    ]
    assert nll[1] < nll[0]


def test_saturated_recordings(golden):
    g = golden("saturated_logits")
    logits, top = g["logits"], g["msp__conf"]
    for setting, name, hp in (
        ("msp", "msp", {}),
        ("mls", "mls", {}),
        ("ebo_T1", "energy", {}),
        ("ebo_T0.1", "energy", {"temperature": 0.1}),
    ):
        np.testing.assert_allclose(
            _scores(name, hp, logits), g[f"{setting}__conf"], rtol=1e-6, atol=1e-6
        )
    for gamma, m in ((0.1, 100), (0.01, 5), (2, 10)):
        sane = top < 1 - 1e-5  # where the original kept the digits of 1 - p
        assert sane.sum() >= 25
        got = _scores("gen", {"gamma": gamma, "top_m": m}, logits)
        _close(got[sane], g[f"gen_g{gamma}_M{m}__conf"][sane], 2e-5)
        assert np.isfinite(got).all()
    _close(_scores("gen", {}, logits), g["gen_g0.1_M100__stable_f64"], 2e-5)


@pytest.mark.parametrize(("gamma", "m"), [(0.01, 3), (0.5, 1), (0.5, 6), (0.5, 7)])
def test_gen_against_an_oracle(gamma, m):
    logits = _normal(0, 40, 7)
    logits[0] = 0.0  # all tied
    logits[1, :2] = 60.0  # p = 1/2 twice
    p = np.sort(_softmax(logits), axis=1)[:, -m:]
    expected = -np.sum((p * (1 - p)) ** gamma, axis=1)
    _close(_scores("gen", {"gamma": gamma, "top_m": m}, logits), expected, 1e-6)


def test_one_class_is_certain():
    logits = _normal(0, 3, 1)
    np.testing.assert_array_equal(_scores("gen", {}, logits), 0.0)
    np.testing.assert_array_equal(_scores("msp", {}, logits), 1.0)


@pytest.mark.parametrize("unseen", [False, True])
def test_klm_against_an_oracle(unseen):
    val, rows = _normal(0, 60, 5), _normal(1, 30, 5)
    val[:, 3] -= 100.0 * unseen
    q, predicted = _softmax(val), val.argmax(1)
    means = [q[predicted == k].mean(0) for k in range(5) if (predicted == k).any()]
    assert len(means) == 5 - unseen
    p = _softmax(rows)
    expected = -np.min([np.sum(p * np.log(p / q), axis=1) for q in means], axis=0)
    _close(_scores("klm", {}, rows, _outputs(val)), expected, 1e-6)


def test_klm_knows_an_unseen_class_by_an_exact_one_hot_only():
    val = np.diag([9.0, 9.0, 9.0, 0.0])[:3].astype(np.float32)
    rows = np.array([[0, 0, 0, 400], [0, 0, 0, 60], [400, 0, 0, 0]], np.float32)
    scores = _scores("klm", {}, rows, _outputs(val))
    assert scores[0] == 0
    assert scores[1] < -8
    np.testing.assert_allclose(scores[2], np.log(_softmax(val)[0, 0]), rtol=1e-5)


def test_klm_stays_finite_where_probabilities_underflow():
    val = np.array([[1e4, 0, -1e4], [0, 1e4, 0], [0, 0, 1e4]], np.float32)
    assert np.isfinite(_scores("klm", {}, val[::-1] / 3, _outputs(val))).all()


@pytest.mark.parametrize("name", ["gen", "klm", "temperature_scaling"])
def test_any_split_gives_the_same_bits(name):
    logits = _normal(0, 530, 6)
    val = _outputs(_normal(1, 50, 6), np.arange(50) % 6)
    detector = detectors.make(name)
    state = detector.fit(_outputs(logits), val=val)
    whole = detector.score(state, _outputs(logits))
    parts = [detector.score(state, _outputs(logits[i : i + 7])) for i in range(0, 70, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[:70])
    np.testing.assert_array_equal(detector.score(state, _outputs(logits[::-1])), whole[::-1])


def test_float64_stays_float64(x64):
    logits = _normal(0, 20, 5).astype(np.float64)
    scores = _scores("gen", {}, logits)
    p = _softmax(logits)
    assert scores.dtype == np.float64
    _close(scores, -np.sum((p * (1 - p)) ** 0.1, axis=1), 1e-12)
    assert _scores("klm", {}, logits, _outputs(logits)).dtype == np.float64


def test_half_logits_are_widened():
    logits = jnp.asarray(_normal(0, 9, 4), jnp.bfloat16)
    _close(_scores("msp", {}, np.asarray(logits)), _softmax(np.float32(logits)).max(1), 1e-6)


def test_needs():
    needs = {name: detectors.make(name).needs for name in ("msp", "mls", "energy", "gen", "klm")}
    assert needs.pop("klm") == {"logits", "val"}
    assert set(needs.values()) == {frozenset(["logits"])}
    assert detectors.make("temperature_scaling").needs == {"logits", "val"}


def test_missing_input_is_named():
    logits = _normal(0, 6, 3)
    val = _outputs(logits, np.arange(6) % 3)
    bare = Outputs(logits)
    for name in ("msp", "mls", "energy", "gen"):
        with pytest.raises(InputError, match=f"{name}.score: needs logits, got logits=None"):
            detectors.make(name).score((), bare)
    for name in ("klm", "temperature_scaling"):
        detector = detectors.make(name)
        with pytest.raises(InputError, match=f"{name}.fit: .* got val=None"):
            detector.fit(val)
        with pytest.raises(InputError, match=f"{name}.fit: needs logits"):
            detector.fit(val, val=bare)
        with pytest.raises(InputError, match=f"{name}.score: needs logits"):
            detector.score(detector.fit(None, val=val), bare)
    with pytest.raises(InputError, match="of 2 classes, not 3"):
        detectors.make("klm").score(
            detectors.make("klm").fit(None, val=val), _outputs(logits[:, 1:])
        )
    logits[2, 1] = np.nan
    with pytest.raises(InputError, match=r"msp.score: 1 of 6 logit rows .* row 2"):
        detectors.make("msp").score((), _outputs(logits))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "needs the labels of val"),
        (np.arange(5), "6 integers, got int64 of shape (5,)"),
        (np.ones(6), "6 integers, got float64"),
        (np.arange(6), "lie in 0..2, got 0..5"),
    ],
)
def test_labels_of_val_are_checked(labels, words):
    with pytest.raises(InputError, match=re.escape(words)):
        detectors.make("temperature_scaling").fit(None, val=_outputs(_normal(0, 6, 3), labels))


def test_a_temperature_that_runs_away_becomes_the_most_likely():
    unsure = _outputs(np.eye(3, dtype=np.float32), np.arange(3))  # and right: wants a lower T
    assert 1 < detectors.make("temperature_scaling").fit(None, val=unsure).temperature < 1.5
    fast = detectors.make("temperature_scaling", learning_rate=300.0)
    assert fast.fit(None, val=unsure).temperature < 0.05  # the lower the better
    labels = np.r_[np.arange(3), [1]]  # one of four is wrong: e^(1/T) = 6 balances
    mixed = _outputs(np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], labels)
    assert fast.fit(None, val=mixed).temperature == pytest.approx(1 / np.log(6), rel=1e-3)


def test_saturated_logits_leave_the_temperature_alone():
    sure = _outputs(1e4 * np.eye(3, dtype=np.float32), np.arange(3))
    assert detectors.make("temperature_scaling").fit(None, val=sure).temperature == 1.5


@pytest.mark.parametrize(
    ("name", "hp", "words"),
    [
        ("energy", {"temperature": 0.0}, "temperature must be positive, got 0.0"),
        ("gen", {"gamma": -1.0}, "gamma must be positive"),
        ("gen", {"top_m": 0}, "top_m must be a positive integer"),
        ("temperature_scaling", {"steps": 0}, "steps must be a positive integer"),
        ("temperature_scaling", {"learning_rate": 0.0}, "learning_rate must be positive"),
    ],
)
def test_bad_hyper_parameters(name, hp, words):
    with pytest.raises(ValueError, match=words):
        detectors.make(name, **hp)
