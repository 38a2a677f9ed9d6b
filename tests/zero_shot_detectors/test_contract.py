"""What every zero-shot detector promises, and the parts the static ones are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import zero_shot_detectors
from adapt_jax.core import grouping
from adapt_jax.core.errors import InputError
from adapt_jax.zero_shot_detectors import TextBank, mine_negatives, mining
from tests.zero_shot_detectors import data

NAMES = zero_shot_detectors.names()


@pytest.mark.parametrize("name", NAMES)
def test_larger_means_in_distribution(name):
    rng = np.random.default_rng(0)
    texts = data.bank(rng)
    detector = zero_shot_detectors.make(name, **data.SMALL[name])
    images = np.concatenate([texts.labels, texts.negatives[:5]])
    kept = jax.tree.map(np.array, texts)
    state = detector.init(jax.tree.map(jnp.asarray, texts))
    scores, after = detector.step(state, images, np.ones(10, bool))
    assert scores.shape == (10,)
    assert scores.dtype == np.float32
    assert np.min(scores[:5]) > np.max(scores[5:])
    jax.tree.map(np.testing.assert_array_equal, texts, kept)
    if name not in data.ADAPTIVE:
        jax.tree.map(np.testing.assert_array_equal, after, state)


@pytest.mark.parametrize("name", NAMES)
def test_halves_are_widened(name):
    texts = jax.tree.map(lambda x: x.astype(np.float16), data.bank(np.random.default_rng(1)))
    detector = zero_shot_detectors.make(name, **data.SMALL[name])
    shapes = jax.eval_shape(
        detector.step, detector.init(texts), np.zeros((3, 16), np.float16), np.ones(3, bool)
    )
    assert shapes[0].dtype == np.float32


@pytest.mark.parametrize("name", ["mcm", "neglabel", "csp"])
def test_static_scores_in_double_precision(name, x64):
    rng = np.random.default_rng(2)
    texts = TextBank(*(data.unit(rows.astype(np.float64)) for rows in data.bank(rng)))
    images = data.images(rng, texts, 6)
    detector = zero_shot_detectors.make(name, **data.SMALL[name])
    got, _ = detector.step(detector.init(texts), images, np.ones(6, bool))
    own, other = (images @ rows.T for rows in texts)
    if name == "mcm":
        expected = (np.exp(own) / np.exp(own).sum(1, keepdims=True)).max(1)
    else:
        own = np.exp(100 * own).sum(1)
        other = np.exp(100 * other)[:, grouping.torch_permutation(12, 0)].reshape(6, 4, 3).sum(2)
        expected = (own[:, None] / (own[:, None] + other)).mean(1)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["mcm", "neglabel?groups=2", "adaneg?groups=2"])
def test_a_bank_stays_the_callers(name):
    """Arrays that begin where a CPU device could take them as they are: at 64 bytes."""

    def aligned(rows):
        room = np.empty(rows.size + 16, np.float32)
        start = -room.ctypes.data % 64 // 4
        copy = room[start : start + rows.size].reshape(rows.shape)
        copy[:] = rows
        return copy

    rows = np.eye(24, dtype=np.float32)
    mine = TextBank(aligned(rows[:8]), aligned(rows[8:]))
    detector = zero_shot_detectors.make(name)
    state = detector.init(mine)
    expected = jax.tree.map(np.array, state)
    for array in mine:
        array[:] = 7
    jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_permutations_are_those_of_torch():
    recorded = [6044, 2890, 9399, 1917, 4919, 1729]
    assert grouping.torch_permutation(10_000, 0)[:6].tolist() == recorded
    for count in (0, 1, 2):
        assert sorted(grouping.torch_permutation(count, 3)) == list(range(count))


def test_groups_leave_out_the_last_negatives():
    assert grouping.split(11, 3, None).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    shuffled = grouping.split(11, 3, 0)
    assert sorted(np.ravel(shuffled)) == list(range(9))
    assert np.ravel(shuffled).tolist() == grouping.torch_permutation(9, 0).tolist()


@pytest.mark.parametrize("percentile", [0.0, 0.31, 0.95, 1.0])
def test_mining_equals_a_sort(percentile, monkeypatch):
    monkeypatch.setattr(mining, "_BLOCK", 64)
    rng = np.random.default_rng(3)
    labels = data.unit(rng.normal(size=(13, 8))).astype(np.float32)
    words = data.unit(rng.normal(size=(150, 8))).astype(np.float32)
    words[100] = words[7]  # in another block
    cosine = words.astype(np.float64) @ labels.T
    ranked = np.argsort(np.quantile(cosine, percentile, axis=1).astype(np.float32), kind="stable")
    got = mine_negatives(words, labels, percentile, 0.29)
    assert len(got) == int(0.29 * 150)
    np.testing.assert_array_equal(got, ranked[: len(got)])
    place = np.argsort(mine_negatives(words, labels, percentile, 1.0))
    assert place[7] + 1 == place[100]


def test_near_duplicates_of_labels_are_mined_last():
    rng = np.random.default_rng(6)
    labels = data.unit(rng.normal(size=(13, 8))).astype(np.float32)
    words = data.unit(rng.normal(size=(150, 8))).astype(np.float32)
    words[[3, 90]] = data.unit(labels[:2] + 0.01)
    plain, last = (mine_negatives(words, labels, 0.5, 1.0, near_duplicate=d) for d in (None, 0.95))
    assert plain.tolist()[-2:] != [3, 90]
    np.testing.assert_array_equal(last, [*plain[~np.isin(plain, [3, 90])], 3, 90])


def test_mining_by_count_and_convention():
    labels = np.eye(4, dtype=np.float32)
    words = data.unit(np.random.default_rng(4).normal(size=(30, 4))).astype(np.float32)
    second = np.argsort(np.sort(words, axis=1)[:, 2], kind="stable")
    got = mine_negatives(words, labels, 0.5, count=7, convention="openood_vlm")
    np.testing.assert_array_equal(got, second[:7])
    top = mine_negatives(words, labels, 1.0, count=7, convention="openood_vlm")
    np.testing.assert_array_equal(top, np.argsort(words.max(1), kind="stable")[:7])
    with pytest.raises(InputError, match="count=31 must lie in 0..30"):
        mine_negatives(words, labels, count=31)
    with pytest.raises(ValueError, match="convention must be one of"):
        mine_negatives(words, labels, convention="numpy")


def test_bad_banks():
    texts = data.bank(np.random.default_rng(5))
    neglabel = zero_shot_detectors.make("neglabel")
    with pytest.raises(InputError, match="13 negatives cannot fill 100 groups"):
        neglabel.init(texts)
    mcm = zero_shot_detectors.make("mcm")
    with pytest.raises(InputError, match="labels must be unit rows, but 5 of 5"):
        mcm.init(TextBank(2 * texts.labels, texts.negatives))
    with pytest.raises(InputError, match=r"negatives must have shape \(N, 16\), got \(13, 15\)"):
        mcm.init(TextBank(texts.labels, texts.negatives[:, 1:]))
    with pytest.raises(InputError, match="no ID label"):
        mcm.init(TextBank(texts.labels[:0], texts.negatives))
    tanl = zero_shot_detectors.make("tanl")
    with pytest.raises(InputError, match="no negative"):
        tanl.init(TextBank(texts.labels, texts.labels[:0]))
    with pytest.raises(InputError, match="noise images and there are none.*noise.npz"):
        tanl.start(texts)
    with pytest.raises(InputError, match=r"noise must have shape \(N, 16\)"):
        tanl.start(texts, texts.labels[:, 1:])
    with pytest.raises(InputError, match=r"images must be \(B, 16\)"):
        mcm.step(mcm.init(texts), np.zeros((3, 8), np.float32), np.ones(3, bool))


def test_unknown_names():
    with pytest.raises(ValueError, match="unknown zero-shot detector 'adaneq'.*did you mean"):
        zero_shot_detectors.make("adaneq")
    with pytest.raises(TypeError, match="no hyper-parameter 'lamda'"):
        zero_shot_detectors.make("adaneg", lamda=0.1)
