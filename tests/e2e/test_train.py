"""Whole runs of the real program on the embedded images."""

import csv
import functools
import importlib.util
import json
import os
import pathlib
import signal
import time

import jax
import numpy as np
import pytest

import adapt_jax
from adapt_jax import metrics, train
from adapt_jax.core.errors import InputError, TrainingFailed
from adapt_jax.core.files import folder_name
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.experiment import checks, record
from adapt_jax.inference import run_embeddings
from adapt_jax.inference.restore import restore
from adapt_jax.workdir import logbook
from tests import commands
from tests.e2e import small
from tests.runtime import bucket_server

pytestmark = pytest.mark.usefixtures("one_program")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and what it returned."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train.train(small.config(report=True), str(workdir))


@pytest.fixture(scope="module")
def final_state():
    """Reads the state at the end of a run of the small config."""
    return functools.partial(restore, experiment())


def experiment(**overrides):
    config = small.config(**overrides)
    return record.make(config, checks.load_data(config))


def assert_same(a, b):
    a, b = a._replace(key=jax.random.key_data(a.key)), b._replace(key=jax.random.key_data(b.key))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_work_directory_holds_what_is_promised(finished):
    workdir, returned = finished
    found = json.loads((workdir / "results.json").read_text())
    assert found == returned
    for key in ("protocol", "id", "seed", "method", "model", "checkpoint_sha256", "versions"):
        assert key in found
    sets = {(r["detector"], r["group"], r["ood"]) for r in found["rows"]}
    for detector in ("mahalanobis", "knn?k=5"):
        assert (detector, "near", "digits6-9") in sets
        assert (detector, "near", "mean") in sets
        assert (detector, "far", "mean") in sets
        assert (workdir / "scores" / detector / "id.npz").exists()
    for row in found["rows"]:
        assert {name for name, _ in metrics.COLUMNS} <= row.keys()
    with (workdir / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["rows"])
    assert json.loads((workdir / "config.json").read_text())["batch_size"] == 64
    records = logbook.read(workdir)
    assert [r["step"] for r in records] == [4, 8, 12, 16, 20, 24]
    assert {"loss", "mle", "proto_contra", "alignment", "tau", "learning_rate"} <= records[0].keys()
    assert "<svg" in (workdir / "report.html").read_text()
    assert list((workdir / "features").glob("train-*.npz"))
    kept = run_embeddings.load(workdir)
    assert kept.prototypes.shape == (6, 6, 16)
    assert set(kept.groups) == {"digits6-9", "grey_photos", "photos"}


def test_metrics_can_be_derived_again_from_the_scores(finished):
    workdir, found = finished
    row = next(r for r in found["rows"] if r["ood"] == "photos" and r["detector"] == "knn?k=5")
    scores = [
        np.load(workdir / "scores" / "knn?k=5" / f"{s}.npz")["scores"] for s in ("id", "photos")
    ]
    again = metrics.ood_metrics(*scores)
    assert {k: row[k] for k in again} == again


@pytest.mark.usefixtures("no_page")
def test_reevaluation_gives_the_same_rows_and_takes_other_choices(finished):
    workdir, found = finished
    before = {p: p.stat().st_mtime_ns for p in (workdir / "features").glob("*.npz")}
    assert evaluate_job.evaluate_run(str(workdir))["rows"] == found["rows"]
    assert {p: p.stat().st_mtime_ns for p in (workdir / "features").glob("*.npz")} == before
    other = evaluate_job.evaluate_run(
        str(workdir), detectors="knn?k=5&normalize=False", ood="far/p=photos:grey?limit=50"
    )
    assert [(r["detector"], r["ood"]) for r in other["rows"]] == [
        ("knn?k=5&normalize=False", "p"),
        ("knn?k=5&normalize=False", "mean"),
    ]
    assert other["rows"][0]["n_ood"] == 50
    evaluate_job.evaluate_run(str(workdir), eval_checkpoint="best")


def test_the_trajectory_does_not_depend_on_where_dispatches_end(finished, final_state, tmp_path):
    workdir, _ = finished
    whole = final_state(workdir)
    train.train(small.config(checkpoint_every=14, ood=""), str(tmp_path / "other"))
    assert_same(final_state(tmp_path / "other"), whole)


STEPWISE = {"log_every": 1, "checkpoint_every": 6, "ood": ""}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The folder of a run that a command made in one go."""
    workdir = tmp_path_factory.mktemp("unbroken")
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = commands.run(*small.arguments(workdir, **STEPWISE), env=env)
    assert done.returncode == 0, done.stderr
    return workdir


def kill_at(step, victim, copy):
    """kill -9 once a step is on record in the folder it works in; the folder holds no last one."""
    deadline = time.time() + 120
    while len(logbook.read(copy)) < step:
        assert victim.poll() is None, victim.written()
        assert time.time() < deadline
        time.sleep(0.005)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert len(logbook.read(copy)) < 24


def test_kill_and_resume_is_bit_identical(unbroken, final_state, tmp_path):
    """kill -9 in the middle of a run; the same command finishes it."""
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = small.arguments(tmp_path, **STEPWISE)
    victim = commands.Command(*command, env=env)
    kill_at(7, victim, tmp_path)  # step 7 is taken once step 6 has been saved
    again = commands.run(*command, env=env)
    assert again.returncode == 0, again.stderr
    assert "resuming at step" in again.stdout
    assert_same(final_state(tmp_path), final_state(unbroken))
    steps = [r["step"] for r in logbook.read(tmp_path)]
    assert steps == list(range(1, 25))


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is None, reason="pip install gcsfs")
def test_a_run_in_a_bucket_goes_on_on_another_machine(unbroken, final_state, tmp_path, monkeypatch):
    """Killed on one machine, finished and evaluated on a second, used on a third."""
    address = "gs://mine/runs/one"
    command = small.arguments(address, **STEPWISE)
    with bucket_server.running() as server:
        env = os.environ | {"JAX_PLATFORMS": "cpu"} | server.environment
        first, second, third = (str(tmp_path / name) for name in ("first", "second", "third"))
        victim = commands.Command(*command, env=env | {"ADAPT_JAX_CACHE": first})
        copy = pathlib.Path(first, "buckets", folder_name(address))
        kill_at(7, victim, copy)
        again = commands.run(
            *command,
            "--config.ood=near/digits6-9=digits?classes=6-9",
            "--config.detectors=mahalanobis",
            env=env | {"ADAPT_JAX_CACHE": second},
        )
        assert again.returncode == 0, again.stderr
        assert "resuming at step" in again.stdout
        assert f"results: {address}/results.json" in again.stdout
        for name, value in (server.environment | {"ADAPT_JAX_CACHE": third}).items():
            monkeypatch.setenv(name, value)
        ready = adapt_jax.load(address)
        copy = pathlib.Path(third, "buckets", folder_name(address))
        assert_same(final_state(copy), final_state(unbroken))
        assert [r["step"] for r in logbook.read(copy)] == list(range(1, 25))
        assert ready.score(adapt_jax.data.load("digits:test?limit=2", ready.size).images).shape == (
            2,
        )


@pytest.mark.parametrize("override", [{"seed": 1}, {"method__params__beta": 0.3}])
def test_a_changed_config_does_not_resume(finished, override):
    workdir, _ = finished
    with pytest.raises(InputError, match=r"another config \((seed|method.params.beta): was"):
        train.train(small.config(**override), str(workdir))


def test_longer_training_does_not_resume_silently(finished):
    workdir, _ = finished
    with pytest.raises(InputError, match="total_steps: was 24, now 48"):
        train.train(small.config(total_steps=48), str(workdir))


def test_a_lost_run_stops_and_says_so(tmp_path, monkeypatch):
    begin = train.initial_state

    def lost(experiment):
        state = begin(experiment)
        return state._replace(params=jax.tree.map(lambda leaf: leaf * np.nan, state.params))

    monkeypatch.setattr(train, "initial_state", lost)
    with pytest.raises(TrainingFailed, match=r"no finite loss in the 4 steps before step 4;"):
        train.train(small.config(), str(tmp_path))
