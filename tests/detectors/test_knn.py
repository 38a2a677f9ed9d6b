"""k-th neighbour against recordings and a float64 oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs


def _close(got, expected, tolerance):
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("case", ["maha_knn", "maha_knn_dead"])
def test_adapt_recording(golden, case):
    g = golden(case)
    detector = detectors.make("knn", k=int(g["hp_K"]))
    state = detector.fit(Outputs(g["train_raw"]))
    for name, rows in (("in", g["id_raw"]), ("out", g["ood_raw"])):
        expected = -g[f"knn_{name}_f64"].astype(np.float64)  # cut after its last whole batch
        _close(detector.score(state, Outputs(rows))[: len(expected)], expected, 1e-6)


@pytest.mark.parametrize("part", ["test", "near", "far"])
@pytest.mark.parametrize("name", ["knn_K1", "knn_K10", "knn_K50", "cider_K10"])
def test_openood_recordings(golden, name, part):
    g = golden("posthoc_c10_d64")
    detector = detectors.make("knn", k=int(name.split("K")[1]))
    scores = detector.score(detector.fit(Outputs(g["train"])), Outputs(g[part]))
    _close(scores, g[f"{name}__{part}"], 1e-6)


@pytest.mark.parametrize("k", [1, 4, 30])
def test_raw_features_against_a_sort(k):
    bank, rows = _normal(0, 30, 5) * 7, _normal(1, 11, 5) * 7
    detector = detectors.make("knn", k=k, normalize=False)
    square = ((rows[:, None].astype(np.float64) - bank[None]) ** 2).sum(-1)
    scores = detector.score(detector.fit(Outputs(bank)), Outputs(rows))
    _close(scores, -np.sort(square, 1)[:, k - 1], 1e-6)


def test_default_is_openoods_k(golden):
    g = golden("posthoc_c10_d64")
    detector = detectors.make("knn")
    scores = detector.score(detector.fit(Outputs(g["train"])), Outputs(g["far"]))
    _close(scores, g["knn_K50__far"], 1e-6)


def test_a_zero_feature_is_at_distance_one():
    bank = _normal(0, 20, 5)
    detector = detectors.make("knn", k=3)
    scores = detector.score(detector.fit(Outputs(bank)), Outputs(np.zeros((2, 5), np.float32)))
    np.testing.assert_allclose(scores, -1.0, rtol=1e-6)
    with_zero = detector.fit(Outputs(np.concatenate([bank, np.zeros((3, 5), np.float32)])))
    scores = detector.score(with_zero, Outputs(np.zeros((1, 5), np.float32)))
    assert scores[0] == 0.0  # and at distance zero from other zero features


def test_a_training_image_is_its_own_neighbour():
    bank = _normal(0, 300, 16)
    detector = detectors.make("knn", k=1)
    assert np.abs(detector.score(detector.fit(Outputs(bank)), Outputs(bank))).max() < 1e-12


def test_integer_and_half_features_are_widened():
    bank = np.array([[3, 4], [0, 5], [8, 6]])
    detector = detectors.make("knn", k=1)
    for dtype in (np.int64, np.float16, np.uint8, jnp.bfloat16):
        scores = detector.score(detector.fit(Outputs(bank.astype(dtype))), Outputs(bank[:1] * 2))
        assert scores[0] > -1e-12


def test_float64_stays_float64(x64):
    bank = np.random.default_rng(0).normal(size=(40, 6))
    detector = detectors.make("knn", k=5)
    scores = detector.score(detector.fit(Outputs(bank)), Outputs(bank))
    assert scores.dtype == np.float64
    unit = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    _close(scores, -np.sort(2 - 2 * unit @ unit.T, 1)[:, 4], 1e-12)


def test_bad_k():
    with pytest.raises(InputError, match="k=21 exceeds the bank of 20"):
        detectors.make("knn", k=21).fit(Outputs(_normal(0, 20, 5)))
    for k in (0, -1, 1.5):
        with pytest.raises(ValueError, match="k must be a positive integer"):
            detectors.make("knn", k=k)


@pytest.mark.parametrize("n", [37, 640])
def test_a_bank_over_eight_devices_gives_the_same_scores(n):
    assert jax.device_count() == 8
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(n, 12)).astype(np.float32)
    queries = np.concatenate([rng.normal(size=(20, 12)), bank[:5]]).astype(np.float32)
    for k in (1, 7, 30):
        for normalize in (True, False):
            one, eight = (
                detectors.make("knn", k=k, normalize=normalize, sharded=sharded)
                for sharded in (False, True)
            )
            state = eight.fit(Outputs(bank))
            assert len(state.rows.sharding.device_set) == 8
            np.testing.assert_allclose(
                eight.score(state, Outputs(queries)),
                one.score(one.fit(Outputs(bank)), Outputs(queries)),
                rtol=1e-6, atol=1e-9,
            )  # fmt: skip
