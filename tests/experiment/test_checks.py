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


def test_from_python_what_has_no_effect_is_said(capsys):
    """No one can tell who set a field; what a file gives and total_steps decides is left alone."""
    config = small.config(augment__jitter_probability=0.0, augment__hue=0.3, ood_val_data="photos")
    checks.check_config(config, given=None)
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "warning: config field augment.hue has no effect here: augment.jitter_probability is 0",
        "warning: config field ood_val_data has no effect here: only a search sees it, and search "
        "is False",
    ]
    checks.check_config(config)
    assert not capsys.readouterr().err
