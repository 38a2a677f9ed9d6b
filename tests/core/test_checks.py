"""Ranges of hyper-parameters and channel statistics."""

import pytest

from adapt_jax.core.checks import channel_statistics
from adapt_jax.core.errors import InputError

WRONG, RIGHT = ((127.5, 127.5, 102), (51, 51, 76.5)), ((0.5, 0.5, 0.4), (0.2, 0.2, 0.3))


@pytest.mark.parametrize("given", [WRONG, (WRONG[0], RIGHT[1]), (RIGHT[0], WRONG[1])])
def test_statistics_of_pixels_from_0_to_255_are_refused_with_the_numbers_to_give(given):
    with pytest.raises(InputError) as error:
        channel_statistics(*given)
    assert str(error.value).endswith(f"give mean {RIGHT[0]} and std {RIGHT[1]}")


def test_what_pixels_divided_by_255_can_have_passes():
    for mean, std in (((0.49, 0.48, 0.44), (0.2, 0.2, 0.26)), ((0,) * 3, (1,) * 3)):
        channel_statistics(mean, std)
    channel_statistics((0.5,) * 3, (1 / 255,) * 3)  # a network that wants pixels up to 255


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.5, 0.5), (0.2, 0.2)),
        ((0.5,) * 3, (0.2, 0.2, 0.0)),
        ((0.5, 0.5, float("nan")), (0.2,) * 3),
        ((-0.1, 0.5, 0.5), (0.2,) * 3),
    ],
)
def test_what_no_channel_can_have_is_refused(mean, std):
    with pytest.raises(InputError):
        channel_statistics(mean, std)
