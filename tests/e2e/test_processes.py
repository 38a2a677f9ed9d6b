"""Several devices, and several real processes over loopback, which are stopped and killed."""

import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from adapt_jax import train
from adapt_jax.core.arrays import float64
from adapt_jax.experiment import checks, record
from adapt_jax.inference.restore import restore
from adapt_jax.runtime import sharding
from tests.commands import Command
from tests.e2e import small

CHOICES = {  # float64, because float32 training is chaotic
    "model__dtype": "float64",
    "model__width": 4,
    "batch_size": 24,
    "ood": "near/digits6-9=digits:test?classes=6-9,far/grey=photos:grey?limit=50",
    "total_steps": 20,
    "log_every": 1,
    "checkpoint_every": 4,
    "detectors": "mahalanobis,knn?k=5&sharded=true",  # the last over all devices
}
HEARTBEAT = 10


def launch(workdir, count, devices=1, workdirs=None, **overrides):
    """Starts `count` processes of one run."""
    folders = [workdir / name for name in workdirs] if workdirs else [workdir] * count
    env = os.environ | {"JAX_ENABLE_X64": "1", "ADAPT_JAX_HEARTBEAT": str(HEARTBEAT)}
    commands = [small.arguments(folder, **(CHOICES | overrides)) for folder in folders]
    return small.start_together(commands, env, devices)


def records(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_for_checkpoint(workdir, step, started):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if (workdir / "checkpoints" / str(step) / "commit_success.txt").exists():
            return
        assert all(p.poll() is None for p in started), small.finish(started)
        time.sleep(0.02)
    raise AssertionError("the run did not get that far")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The same run in one process on one device."""
    workdir = tmp_path_factory.mktemp("one")
    with float64():
        train.train(small.config(**CHOICES), str(workdir))
    return workdir


def assert_same_steps(ours, expected):
    assert [r["step"] for r in ours] == [r["step"] for r in expected]
    for name in ("loss", "alignment", "tau", "gradient_norm"):
        np.testing.assert_allclose(
            [r[name] for r in ours], [r[name] for r in expected], rtol=1e-9, err_msg=name
        )


def assert_same_run(workdir, reference):
    assert_same_steps(records(workdir), records(reference))
    found, wanted = (json.loads((w / "results.json").read_text()) for w in (workdir, reference))
    for ours, theirs in zip(found["rows"], wanted["rows"], strict=True):
        for name in ("auroc", "fpr95", "n_id", "n_ood"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-9)


@pytest.mark.usefixtures("x64")
def test_eight_devices_follow_the_same_trajectory(reference, tmp_path, monkeypatch):
    """They agree up to rounding."""
    config = small.config(**CHOICES | {"ood": "", "checkpoint_every": 20})
    axis = {"axis_types": (jax.sharding.AxisType.Auto,)}
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()), (sharding.AXIS,), **axis)
    monkeypatch.setattr(sharding, "make_mesh", lambda devices=None: mesh)
    train.train(config, str(tmp_path))
    experiment = record.make(config, checks.load_data(config))
    one, eight = (restore(experiment, folder) for folder in (reference, tmp_path))
    assert len(jax.tree.leaves(eight.params)[0].sharding.device_set) == 8
    for a, b in zip(one[1:5], eight[1:5], strict=True):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11), a, b)
    losses = [[r["loss"] for r in records(folder)] for folder in (reference, tmp_path)]
    np.testing.assert_allclose(*losses, rtol=1e-10)


def test_two_processes_stop_together_and_others_go_on_even_where_one_is_lost(reference, tmp_path):
    """SIGTERM to one of 2 processes x 2 devices saves both, and 3 x 1 go on from there.

    One of these is killed. That ends the others soon, and 2 x 2 finish with the same numbers.
    """
    started = launch(tmp_path, 2, devices=2)
    wait_for_checkpoint(tmp_path, 4, started)
    started[1].send_signal(signal.SIGTERM)
    codes, errors = small.finish(started)
    assert codes == [143, 143], errors
    reached = len(records(tmp_path))
    assert reached < CHOICES["total_steps"]

    started = launch(tmp_path, 3)
    saved = CHOICES["checkpoint_every"] * (reached // CHOICES["checkpoint_every"] + 1)
    wait_for_checkpoint(tmp_path, saved, started)
    started[1].kill()
    began = time.monotonic()
    codes, errors = small.finish(started, timeout=90)
    assert time.monotonic() - began < 3 * HEARTBEAT
    assert codes[1] == -signal.SIGKILL
    for i in (0, 2):
        assert codes[i] in (75, -signal.SIGABRT), errors[i]
        assert f"process {i}: error: lost another process" in errors[i] or codes[i] != 75
    assert saved <= (steps := len(records(tmp_path))) < CHOICES["total_steps"]
    assert_same_steps(records(tmp_path), records(reference)[:steps])

    codes, errors = small.finish(launch(tmp_path, 2, devices=2))
    assert codes == [0, 0], errors
    assert_same_run(tmp_path, reference)


def test_one_mistake_stops_all_with_its_reason(tmp_path):
    started = launch(tmp_path, 2, train_data="npz:nowhere.npz")
    codes, errors = small.finish(started)
    assert codes == [2, 2]
    assert "nowhere.npz" in errors[0]
    command = small.arguments(tmp_path, **CHOICES)
    env = os.environ | {"ADAPT_JAX_COORDINATOR": "localhost:1", "JAX_PLATFORMS": "cpu"}
    codes, errors = small.finish([Command(*command, env=env)])
    assert codes == [2]
    assert "num_processes is missing" in errors[0]


def test_folders_that_are_not_shared_are_refused(tmp_path):
    started = launch(tmp_path, 2, workdirs=("a", "b"))
    codes, errors = small.finish(started)
    assert codes == [2, 2]
    assert "do not see one --workdir" in errors[0]
