"""Which images a stream has, and in which order."""

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data import streams


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
        with pytest.raises(InputError, match=words):
            streams.make(**{field: value})
    with pytest.raises(InputError, match="full_spectrum"):
        streams.make(mix="1:1", full_spectrum=True)
