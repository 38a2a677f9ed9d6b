"""State dicts as training programs leave them."""

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.core.wrappers import averaged_copies, unwrapped

STATE = {"conv1.weight": np.ones(2), "fc.module_scale": np.zeros(3)}


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "_orig_mod.module.", "model.", "net.", "model.net.", "ema."],
)
def test_wrappers_in_front_are_dropped(prefix):
    assert unwrapped({prefix + name: value for name, value in STATE.items()}) == STATE


def test_wrappers_inside_and_counters_are_dropped():
    averaged = {f"module.{name}": value for name, value in STATE.items()}
    assert unwrapped(averaged | {"n_averaged": np.array(5)}) == STATE
    inside = {"encoder._orig_mod.module.conv1.weight": STATE["conv1.weight"]}
    assert list(unwrapped(inside)) == ["encoder.conv1.weight"]
    assert list(unwrapped({"step": np.ones(4)})) == ["step"]  # no counter but a layer


def test_other_tensors_beside_a_wrapper_keep_their_names():
    """Such as a loss of Lightning's; who reads the network then names them as unused."""
    beside = {"model.conv1.weight": np.ones(2), "criterion.weight": np.ones(2)}
    assert set(unwrapped(beside)) == {"conv1.weight", "criterion.weight"}
    clash = {"model.weight": np.ones(2), "weight": np.ones(2)}
    assert unwrapped(clash).keys() == clash.keys()


def test_two_copies_are_refused():
    both = {f"{p}.conv1.weight": np.ones(2) for p in ("online_model", "ema_model")}
    with pytest.raises(InputError, match=r"under ema_model\. and online_model\."):
        unwrapped(both | {"initted": np.array(1)})


def test_averaged_copies_of_a_checkpoint():
    found = {"model": {"a": 1}, "model_ema": {"a": 1}, "ema": {"b": {}}, "swa_state": {"n": 1}}
    assert averaged_copies(found | {"ema_decay": 0.9, "schema": {"a": 1}, "avg": {}}) == [
        "model_ema",
        "ema",
        "swa_state",
    ]
