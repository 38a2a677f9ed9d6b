import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax.config import default_config
from adapt_jax.core.errors import InputError
from adapt_jax.training.train_state import TrainState
from adapt_jax.workdir import checkpoints


def state(value):
    filled = jnp.full(3, value, jnp.float32)
    return TrainState(jnp.int32(value), {"w": filled}, {"m": filled}, (), filled, jax.random.key(7))


def test_the_newest_and_the_best_are_kept(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    assert store.latest_step() is None
    assert store.best_step() is None
    for step, loss in enumerate([3.0, 1.0, 2.0, 5.0, 4.0]):
        store.save(step, state(step), loss)
    store.close()
    kept = {p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {"1", "4"}

    being_written = tmp_path / "checkpoints" / "5.orbax-checkpoint-tmp"
    being_written.mkdir()
    store = checkpoints.Checkpoints(tmp_path, cleanup=False)
    assert being_written.exists()  # by whoever trains there
    assert (store.latest_step(), store.best_step()) == (4, 1)
    restored = store.restore(1, state(0))
    store.close()
    np.testing.assert_array_equal(restored.params["w"], [1, 1, 1])
    np.testing.assert_array_equal(
        jax.random.key_data(restored.key), jax.random.key_data(jax.random.key(7))
    )


def test_the_digest_knows_values_names_and_shapes():
    base = {"a": np.arange(4, dtype=np.float32)}
    known = checkpoints.digest(base)
    assert known == checkpoints.digest({"a": np.arange(4, dtype=np.float32)})
    for other in (
        {"b": base["a"]},
        {"a": base["a"].reshape(2, 2)},
        {"a": base["a"].astype(np.float64)},
        {"a": base["a"] + 1e-6},
    ):
        assert checkpoints.digest(other) != known


def test_a_config_is_remembered_and_compared(tmp_path):
    config = default_config().to_dict()
    checkpoints.remember_config(tmp_path, config)
    assert checkpoints.recall_config(tmp_path)["augment"]["crop_scale"] == [0.2, 1.0]
    checkpoints.remember_config(tmp_path, config | {"seed": 2})  # nothing was trained yet
    (tmp_path / "checkpoints" / "8").mkdir(parents=True)
    checkpoints.remember_config(tmp_path, config | {"seed": 2, "log_every": 5})
    wider = config | {"seed": 2, "model": config["model"] | {"width": 16}}
    with pytest.raises(InputError, match=r"model\.width: was 64, now 16"):
        checkpoints.remember_config(tmp_path, wider)


def test_a_run_older_than_a_field_is_as_if_it_had_the_default(tmp_path):
    config = default_config().to_dict()
    older = config | {"model": {k: v for k, v in config["model"].items() if k != "stem"}}
    del older["report"]
    (tmp_path / "checkpoints" / "8").mkdir(parents=True)
    (tmp_path / "config.json").write_text(json.dumps(older))
    checkpoints.remember_config(tmp_path, config)
    with pytest.raises(InputError, match=r"model\.stem: was 'cifar', now 'imagenet'"):
        checkpoints.remember_config(
            tmp_path, config | {"model": config["model"] | {"stem": "imagenet"}}
        )


def test_a_run_does_not_go_on_with_other_images(tmp_path):
    checkpoints.check_data(tmp_path, {"train_fingerprint": "a"})
    checkpoints.check_data(tmp_path, {"train_fingerprint": "b"})  # nothing was trained yet
    (tmp_path / "checkpoints" / "8").mkdir(parents=True)
    checkpoints.check_data(tmp_path, {"train_fingerprint": "b"})
    with pytest.raises(InputError, match="other training images"):
        checkpoints.check_data(tmp_path, {"train_fingerprint": "a"})


def test_a_checkpoint_of_another_shape_is_refused_in_a_sentence(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    store.save(1, state(1), 0.5)
    store.close()
    store = checkpoints.Checkpoints(tmp_path)
    other = state(0)._replace(method_state=jnp.zeros((2, 2)))
    with pytest.raises(InputError, match="step 1 is damaged, or does not fit"):
        store.restore(1, other)
    store.close()


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        checkpoints.recall_config(tmp_path)
    (tmp_path / "config.json").write_text('{"seed": 1')
    with pytest.raises(InputError, match="not valid JSON"):
        checkpoints.recall_config(tmp_path)
