"""Whole runs of CCL: without labels, across an interruption, and what it learns."""

import os
import signal

import jax
import numpy as np
import pytest

from adapt_jax import methods, train
from adapt_jax.core.errors import InputError
from adapt_jax.data import sources
from adapt_jax.experiment import checks, record
from adapt_jax.inference.restore import restore
from adapt_jax.workdir import logbook
from tests.e2e import small

pytestmark = pytest.mark.usefixtures("one_program")
OOD = "near/digits6-9=digits?classes=6-9"
EPOCH_HOOK = train.epoch_hook  # which `one_program` replaces


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """192 digits in a file that says nothing about what they are."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    images = sources.load("digits:train?classes=0-5", 8).images
    np.savez(path, images=images[:: len(images) // 192][:192])
    return path


def config(data, **overrides):
    """Three steps per epoch; clusters from the third epoch on."""
    params = {"num_clusters": 9, "warmup_epochs": 2}
    chosen = {
        "method": {"name": "ccl", "params": methods.defaults("ccl") | params},
        "train_data": f"npz:{data}",
        "ood": OOD,
        "detectors": "ssd,ssd?per_class=True,nearest_mean,knn?k=5",
        "log_every": 1,
        "checkpoint_every": 100,
        "total_steps": 14,
    }
    return small.config(**(chosen | overrides))


@pytest.fixture(scope="module")
def finished(unlabelled, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("ccl")
    return workdir, train.train(config(unlabelled, report=True), str(workdir))


def final_state(workdir, chosen):
    return restore(record.make(chosen, checks.load_data(chosen)), workdir)


def test_it_trains_and_is_evaluated_without_labels(finished, unlabelled):
    workdir, found = finished
    assert {r["detector"] for r in found["rows"]} == set(config(unlabelled).detectors.split(","))
    assert not [k for k in found if "accuracy" in k]
    state = final_state(workdir, config(unlabelled)).method_state
    assert state.refreshes == 3  # epochs 2, 3 and 4 of 0..4
    assert state.assignment.shape == (192,)
    assert len(np.unique(state.assignment)) == 9
    records = logbook.read(workdir)
    centre = [r["centre"] for r in records]
    assert centre[:6] == [0.0] * 6
    assert min(centre[6:]) > 0
    assert (workdir / "report.html").exists()


def test_an_interrupted_run_ends_bit_identical(finished, unlabelled, tmp_path, monkeypatch):
    """Stopped in the middle of an epoch, and again at its end."""
    workdir, _ = finished
    chosen = config(unlabelled, ood="")
    record = logbook.Logbook.record

    def record_then_interrupt(self, step, values):
        record(self, step, values)
        if step in (7, 11):  # saved after the next step
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(logbook.Logbook, "record", record_then_interrupt)
    # A hook of its own for every part, as in a new process.
    monkeypatch.setattr(train, "epoch_hook", EPOCH_HOOK)
    for stop in (8, 12):
        with pytest.raises(SystemExit):
            train.train(chosen, str(tmp_path))
        assert logbook.read(tmp_path)[-1]["step"] == stop
    train.train(chosen, str(tmp_path))
    a, b = (final_state(d, chosen) for d in (workdir, tmp_path))
    a, b = (s._replace(key=jax.random.key_data(s.key)) for s in (a, b))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_other_methods_still_ask_for_labels(unlabelled):
    with pytest.raises(InputError, match="labels are needed"):
        checks.load_data(small.config(train_data=f"npz:{unlabelled}"))


def test_the_number_of_clusters_must_come_from_somewhere(unlabelled):
    chosen = config(unlabelled)
    del chosen.method.params["num_clusters"]
    data = checks.load_data(chosen)
    with pytest.raises(InputError, match="section method: num_clusters must be given"):
        record.make(chosen, data)


def test_training_beats_the_untrained_network(tmp_path):
    """Digits 6-9 against 0-5, and nearest-mean accuracy, after 8 epochs of 6 steps."""
    params = methods.defaults("ccl") | {"num_clusters": 12, "warmup_epochs": 3}
    chosen = {
        "method": {"name": "ccl", "params": params},
        "ood": OOD,
        "detectors": "ssd,knn?k=5",
        "batch_size": 128,
        "log_every": 100,
        "checkpoint_every": 100,
        "linear_probe": True,
        "model__blocks": (1, 1, 0, 0),
        "augment__jitter_probability": 0.8,
        "augment__grayscale": 0.2,
        "optimizer__warmup_epochs": 3,
    }
    found = {
        steps: train.train(small.config(**chosen, total_steps=steps), str(tmp_path / str(steps)))
        for steps in (0, 48)
    }
    for detector in ("ssd", "knn?k=5"):
        before, after = (
            next(r["auroc"] for r in found[s]["rows"] if r["detector"] == detector) for s in (0, 48)
        )
        assert after > before + 0.1, (detector, before, after)
    for accuracy in ("nearest_mean_accuracy", "linear_probe_accuracy"):
        assert found[48][accuracy] > max(0.6, found[0][accuracy] - 0.05)
