"""What a config is refused for before any image is read."""

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.experiment import checks
from tests.e2e import small


@pytest.mark.parametrize("which", ["", "eval_"])
def test_channel_statistics_of_pixels_from_0_to_255(which):
    fields = {f"{which}mean": (125.3, 123.0, 113.9), f"{which}std": (63.0, 62.1, 66.7)}
    expected = rf"{which}mean and {which}std: .* give mean \(0\.4914, 0\.4824, 0\.4467\)"
    with pytest.raises(InputError, match=expected):
        checks.check_config(small.config(**fields))
