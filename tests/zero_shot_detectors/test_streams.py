"""Detectors on streams: padding and batching do what they say."""

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax import zero_shot_detectors
from adapt_jax.zero_shot_detectors import streams
from tests.zero_shot_detectors.data import ADAPTIVE, SMALL, bank, images


def test_static_and_adaptive_detectors_are_told_apart():
    rng = np.random.default_rng(0)
    texts = bank(rng)
    for name in zero_shot_detectors.names():
        detector = zero_shot_detectors.make(name, **SMALL[name])
        static = streams.is_static(detector.step, detector.init(texts), 16)
        assert static == (name not in ADAPTIVE)


def test_scores_come_back_in_the_order_of_the_images_and_padding_changes_nothing():
    rng = np.random.default_rng(1)
    texts = bank(rng)
    rows = images(rng, texts, 10).astype(np.float32)
    detector = zero_shot_detectors.make("adaneg", groups=3, memory_length=3, threshold=0.5, gap=0.1)
    step = streams.compiled(detector.step)
    order = rng.permutation(10)
    told = []
    got, _ = streams.run(step, detector.init(texts), rows, order, 4, told.append)
    assert told == [4, 8, 10]

    expected, state = np.zeros(10, np.float32), detector.init(texts)
    for part in (order[:4], order[4:8], order[8:]):  # the last batch as short as it is
        full = jnp.ones(len(part), bool)
        values, state = detector.step(state, jnp.asarray(rows[part]), full)
        expected[part] = values
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert (np.asarray(state.memory.count) > 0).any()
    other, _ = streams.run(step, detector.init(texts), rows, order[::-1], 4)
    assert np.abs(other - got).max() > 1e-4


def test_the_state_is_updated_in_place():
    rng = np.random.default_rng(2)
    texts = bank(rng)
    detector = zero_shot_detectors.make("adaneg", groups=3, memory_length=3)
    state = detector.init(texts)
    rows = images(rng, texts, 4).astype(np.float32)
    streams.compiled(detector.step)(state, rows, np.ones(4, bool))
    assert state.memory.images.is_deleted()
    assert not isinstance(texts.labels, jax.Array)  # the caller's bank is untouched
