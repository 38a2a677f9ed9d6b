"""Which images a stream has, in which order, and that padding and batching do what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import zero_shot_detectors
from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.core.errors import InputError
from adapt_jax.zero_shot_detectors import streams
from tests.zero_shot_detectors.data import ADAPTIVE, SMALL, bank, images


def settings(order="shuffled", mix="all", batch_size=4, seed=0):
    return streams.Settings(order, batch_size, mix, seed)


@pytest.mark.parametrize("order", streams.ORDERS)
def test_every_image_once_in_an_order_that_the_seed_decides(order):
    found = streams.order(30, 10, settings(order))
    assert sorted(found) == list(range(40))
    np.testing.assert_array_equal(found, streams.order(30, 10, settings(order)))
    assert (found != streams.order(30, 10, settings(order, seed=1))).any()
    own = found < 30
    assert (found[own] != np.arange(30)).any()  # each side is shuffled in itself
    if order == "id_first":
        assert own[:30].all()
    if order == "ood_first":
        assert own[10:].all()
    if order == "interleaved":
        assert [int(part.sum()) for part in np.split(own, 10)] == [3] * 10


def test_a_mix_takes_the_same_number_of_every_set():
    counts = {"small": 40, "large": 900}
    assert streams.mixed(500, counts, settings()) == {"id": 500, **counts}
    assert streams.mixed(500, counts, settings(mix="1:1")) == {"id": 40, "small": 40, "large": 40}
    assert streams.mixed(500, counts, settings(mix="10:1"))["id"] == 400
    assert streams.mixed(500, counts, settings(mix="100:1")) == {"id": 500, "small": 5, "large": 5}
    assert streams.mixed(500, counts, settings(mix="0.5:1"))["id"] == 20
    with pytest.raises(InputError, match="leaves no image of one side"):
        streams.mixed(500, counts, settings(mix="1:1000"))
    drawn = streams.draw(900, 40, settings())
    assert len(np.unique(drawn)) == 40
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, streams.draw(900, 40, settings()))


def test_settings_that_say_nothing_are_refused():
    for field, value, words in [
        ("order", "random", "known: shuffled"),
        ("mix", "1:0", "ratio"),
        ("mix", "half", "ratio"),
        ("mix", "1:2:3", "ratio"),
    ]:
        config = zero_shot_config.default_config()
        config.stream[field] = value
        with pytest.raises(InputError, match=words):
            streams.parse(config)
    config = zero_shot_config.default_config()
    config.stream.mix, config.full_spectrum = "1:1", True
    with pytest.raises(InputError, match="full_spectrum"):
        streams.parse(config)


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
    order = streams.order(6, 4, settings())
    told = []
    got = streams.scores(step, detector.init(texts), rows, order, 4, told.append)
    assert told == [4, 8, 10]

    expected, state = np.zeros(10, np.float32), detector.init(texts)
    for part in (order[:4], order[4:8], order[8:]):  # the last batch as short as it is
        full = jnp.ones(len(part), bool)
        values, state = detector.step(state, jnp.asarray(rows[part]), full)
        expected[part] = values
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert (np.asarray(state.memory.count) > 0).any()
    other = streams.scores(step, detector.init(texts), rows, order[::-1], 4)
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
