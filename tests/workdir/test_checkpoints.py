import contextlib
import gc
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax.config import completed, default_config
from adapt_jax.core.errors import InputError
from adapt_jax.training.train_state import TrainState
from adapt_jax.workdir import checkpoints

# Orbax leaves reads of damaged files behind, which complain when they are collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def state(value):
    filled = jnp.full(3, value, jnp.float32)
    return TrainState(jnp.int32(value), {"w": filled}, {"m": filled}, (), filled, jax.random.key(7))


def abstract(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


@pytest.fixture(scope="module", autouse=True)
def _only_what_these_tests_leave_is_collected():
    """A collection goes through all objects of all tests before, which takes it seconds."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def opened(tmp_path, warnings):
    """`opened()`: the checkpoints of the test's folder, closed at its end; warnings are kept."""
    with contextlib.ExitStack() as held:

        def open_again(**options):
            store = checkpoints.Checkpoints(tmp_path, warn=warnings.append, **options)
            held.callback(store.close)
            return store

        yield open_again
    gc.collect()  # within this test, not in the one that comes next


def save(store, losses):
    for step, loss in enumerate(losses):
        store.save(step, state(step), loss)


def test_the_newest_two_and_the_best_are_kept(tmp_path, opened, warnings):
    store = opened()
    assert store.restore("last", state(0)) is None
    save(store, [3.0, 1.0, 2.0, 5.0, 4.0])
    assert store.steps() == [1, 3, 4]

    being_written = tmp_path / "checkpoints" / "5.orbax-checkpoint-tmp"
    being_written.mkdir()
    store = opened(cleanup=False)
    assert being_written.exists()  # by whoever trains there
    for which, step in (("last", 4), ("best", 1)):
        restored = store.restore(which, abstract(state(0)))
        np.testing.assert_array_equal(restored.params["w"], [step] * 3)
        np.testing.assert_array_equal(
            jax.random.key_data(restored.key), jax.random.key_data(jax.random.key(7))
        )
    assert not warnings
    opened()
    assert not being_written.exists()


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(tmp_path, opened, warnings):
    """Every file missing, empty or cut short, and the folder empty or gone."""
    save(opened(), [1.0, 2.0, 3.0])
    folder = tmp_path / "checkpoints" / "2"
    kept = shutil.copytree(folder, tmp_path / "kept")
    silent = []

    def restored(what):
        warnings.clear()
        found = opened(cleanup=False).restore("last", abstract(state(0)))
        value = float(found.params["w"][0])
        assert value == int(found.step)
        if value == 2 and warnings:
            silent.append(what)  # it was used although something was wrong with it
        if value == 1:
            assert "step 2" in warnings[0], what
            assert "using the checkpoint of step 1 instead" in warnings[0]
        return value

    files = sorted(p.relative_to(kept) for p in kept.rglob("*") if p.is_file())
    fell_back = 0
    for name in files:
        whole = (kept / name).read_bytes()
        for content in (None, b"", whole[: len(whole) // 2]):
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
            (folder / name).unlink()
            if content is not None:
                (folder / name).write_bytes(content)
            fell_back += restored((name, content)) == 1
    assert fell_back > 5  # the others are not read
    shutil.rmtree(folder)
    folder.mkdir()
    assert restored("an empty folder") == 1
    folder.rmdir()  # nobody knows then that there was one
    assert int(opened(cleanup=False).restore("last", abstract(state(0))).step) == 1
    assert not silent


def test_no_flipped_bit_makes_another_network(tmp_path, opened, warnings):
    save(opened(), [1.0])
    files = [p for p in sorted((tmp_path / "checkpoints").rglob("*")) if p.is_file()]
    rng = np.random.default_rng(0)
    expected = jax.tree.map(np.asarray, state(0)._replace(key=None))
    refused = 0
    for _ in range(60):
        path = files[rng.integers(len(files))]
        whole = bytearray(path.read_bytes())
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            found = opened(cleanup=False).restore("last", abstract(state(9)))
            jax.tree.map(np.testing.assert_array_equal, found._replace(key=None), expected)
        except InputError:
            refused += 1
        path.write_bytes(whole)
    assert refused


def test_a_changed_loss_does_not_choose_another_best(tmp_path, opened, warnings):
    save(opened(), [1.0, 2.0, 3.0])
    path = tmp_path / "checkpoints" / "2" / "metrics" / "metrics"
    path.write_text(path.read_text().replace('"loss": 3.0', '"loss": 0.0'))
    found = opened().restore("best", abstract(state(0)))
    assert int(found.step) == 0
    assert "step 2 is damaged" in warnings[0]


def test_a_checkpoint_from_before_hashes_is_used_with_a_word(tmp_path, opened, warnings):
    save(opened(), [1.5])
    path = tmp_path / "checkpoints" / "0" / "metrics" / "metrics"
    path.write_text(json.dumps({"loss": 1.5}))
    assert int(opened().restore("last", abstract(state(4))).step) == 0
    assert "without hashes" in warnings[0]


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path, opened, warnings):
    save(opened(), [1.0, 2.0, 3.0, 4.0])
    shutil.rmtree(tmp_path / "checkpoints" / "3")
    (tmp_path / "checkpoints" / "3").mkdir()
    store = opened()
    assert int(store.restore("last", abstract(state(0))).step) == 2
    store.save(3, state(3), 1.0)
    assert store.steps() == [0, 2, 3]
    assert int(opened().restore("last", abstract(state(0))).step) == 3


def test_a_run_without_a_usable_checkpoint_is_said_to_have_none(tmp_path, opened):
    save(opened(), [1.0, 2.0])
    for step in ("0", "1"):
        shutil.rmtree(tmp_path / "checkpoints" / step / "default")
    with pytest.raises(InputError, match=r"step 1 is damaged.*so are the other 1; restore"):
        opened().restore("last", abstract(state(0)))


def test_the_digest_knows_values_names_and_shapes():
    base = {"a": np.arange(4, dtype=np.float32)}
    known = checkpoints.tree_sha256(base)
    assert known == checkpoints.tree_sha256({"a": np.arange(4, dtype=np.float32)})
    for other in (
        {"b": base["a"]},
        {"a": base["a"].reshape(2, 2)},
        {"a": base["a"].astype(np.float64)},
        {"a": base["a"] + 1e-6},
    ):
        assert checkpoints.tree_sha256(other) != known


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


def test_a_checkpoint_of_another_shape_is_refused_in_a_sentence(opened):
    store = opened()
    store.save(1, state(1), 0.5)
    other = state(0)._replace(method_state=jnp.zeros((2, 2)))
    with pytest.raises(InputError, match="step 1 is damaged, or does not fit"):
        store.restore("last", abstract(other))


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        checkpoints.recall_config(tmp_path)
    (tmp_path / "config.json").write_text('{"seed": 1')
    with pytest.raises(InputError, match="not valid JSON"):
        checkpoints.recall_config(tmp_path)
    for content, words in (
        ("[1, 2]", "holds a list where an object is expected"),
        ('{"method": "adapt", "model": {}}', "field 'method' is a text"),
        ('{"method": {}, "model": {}}', "method has no field 'name'"),
        ("[" * 100_000, "not valid JSON"),
        ("\x00\xff", "not valid JSON"),
    ):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(InputError, match=words):
            checkpoints.recall_config(tmp_path)


def test_a_field_of_the_wrong_type_is_named():
    known = default_config().to_dict()
    for change, words in (
        ({"batch_size": "64"}, "'64' in the field batch_size, which is no int"),
        ({"seed": True}, "True in the field seed, which is no int"),
        ({"model": known["model"] | {"width": [1]}}, r"\[1\] in the field model.width"),
        ({"model": [1]}, "in the field model, which is no dict"),
    ):
        with pytest.raises(InputError, match=words):
            completed(known | change)
