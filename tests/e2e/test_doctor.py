"""The doctor on a short run: content with it as it is, not with what is then done to it."""

import json
import os
import shutil

import numpy as np
import pytest

from adapt_jax import train
from adapt_jax.core.errors import InputError
from adapt_jax.data import suites
from adapt_jax.data.protocols import base
from adapt_jax.doctor import job
from adapt_jax.doctor.findings import FAIL, OK, WARN
from adapt_jax.results import result_files
from tests import commands
from tests.e2e import small


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("doctor") / "run"
    # A smaller network would have learnt too little to be called a run without mistakes.
    train.train(small.config(model__blocks=(1, 1, 0, 0), checkpoint_every=12), str(workdir))
    return workdir


@pytest.fixture
def run(finished, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(finished, tmp_path / "run")


def found(workdir, status, images=False):
    """What was looked at and has that status."""
    return [f.what for f in job.diagnose(str(workdir), images=images) if f.status == status]


def edit_results(workdir, **changes):
    path = workdir / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_arrays(path, **changes):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{k: changes.get(k, lambda a: a)(v) for k, v in arrays.items()})


def test_the_run_as_it_is(finished):
    said = job.diagnose(str(finished))
    assert FAIL not in {f.status for f in said}
    assert "images of photos" in [f.what for f in said if f.status == WARN]  # colour beside grey
    fine = [f.what for f in said if f.status == OK]
    for what in ("checkpoint", "checkpoint and results", "training", "training images"):
        assert what in fine
    for what in ("features of id", "overlap", "results", "scores of knn?k=5", "counts"):
        assert what in fine


def test_edited_scores(run):
    edit_arrays(run / "scores" / "knn?k=5" / "photos.npz", scores=lambda s: s + 0.1)
    assert found(run, FAIL) == ["scores of knn?k=5"]


def test_lost_rows(run):
    shorter = {k: lambda a: a[:-1] for k in ("scores", "names", "labels")}
    edit_arrays(run / "scores" / "mahalanobis" / "photos.npz", **shorter)
    (run / "scores" / "knn?k=5" / "id.npz").unlink()
    assert {"counts", "scores of knn?k=5"} <= set(found(run, FAIL))
    rows = result_files.read(run)["rows"]
    edit_results(run, rows=[r for r in rows if r["ood"] != "photos"])
    assert "results" in found(run, FAIL)


def test_results_of_another_checkpoint(run):
    edit_results(run, checkpoint_sha256="0" * 64)
    assert found(run, FAIL) == ["checkpoint and results"]


def test_damaged_results_and_none(run):
    (run / "results.json").write_text("{")
    assert found(run, FAIL) == ["results"]
    (run / "results.json").unlink()
    assert "results" in found(run, WARN)
    assert found(run, FAIL) == []


def test_outputs_that_are_broken_stale_or_gone(run):
    (features,) = (run / "features").glob("train-*.npz")
    edit_arrays(features, features=lambda f: np.where(np.arange(len(f))[:, None] < 2, np.nan, f))
    assert found(run, FAIL) == ["features of train"]
    (stale,) = (run / "features").glob("photos-*.npz")
    edit_arrays(stale, key=lambda key: np.array("other"))
    features.unlink()
    assert found(run, FAIL, images=True) == ["features of photos"]
    assert "features of train" in found(run, WARN)


def test_ood_images_that_are_in_the_training_set(run):
    config = result_files.read(run)["config"]
    edit_results(run, config=config | {"ood": config["ood"] + ",near/six=digits:train?classes=5-6"})
    assert {"overlap", "results", "names of test images"} <= set(found(run, FAIL, images=True))


def test_images_that_are_gone_or_changed(run):
    config = result_files.read(run)["config"]
    edit_results(run, config=config | {"train_data": "digits:test?classes=0-5"})
    assert "training images" in found(run, FAIL, images=True)
    edit_results(run, config=config | {"train_data": "folder:/nowhere"})
    assert found(run, FAIL, images=True) == ["images"]


@pytest.mark.parametrize(("photos", "status"), [(800, OK), (801, FAIL)])
def test_counts_of_a_suite(run, monkeypatch, photos, status):
    sets = [("near/digits6-9", "digits?classes=6-9", None), ("far/grey_photos", "photos:grey", 800)]
    sets += [("far/photos", "photos:colour", photos), ("id_train", "digits:train", 9999)]
    sets += [("id_test", "digits:test?classes=0-5", 359)]
    monkeypatch.setitem(suites.SUITES, "small", base.make("small", sets))
    edit_results(run, config=result_files.read(run)["config"] | {"ood": "small"})
    assert "counts" in found(run, status)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Orbax's reads
def test_a_damaged_checkpoint(run):
    (run / "checkpoints" / "24" / "default" / "_METADATA").unlink()
    assert found(run, FAIL) == ["checkpoint"]
    assert "features of train" in found(run, OK)  # by the checkpoint the results are of


def test_nothing_is_written(run):
    """So that a run on a read-only disk can be looked at."""

    def state():
        return {p: p.stat().st_mtime_ns for p in [run, *run.rglob("*")]}

    (run / ".lock").unlink(missing_ok=True)
    before = state()
    job.diagnose(str(run))
    assert state() == before


def test_no_run(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        job.diagnose(str(tmp_path / "none"))
    with pytest.raises(InputError, match="no run"):
        job.diagnose(str(tmp_path))


def command(workdir, *options):
    env = os.environ | {"COLUMNS": "150"}
    return commands.run("adapt_jax.doctor", f"--workdir={workdir}", *options, env=env)


def test_the_command(run):
    done = command(run, "--no_images")
    assert done.returncode == 0, done.stderr
    assert "0 FAIL" in done.stdout
    edit_results(run, checkpoint_sha256="0" * 64)
    done = command(run, "--json", "--no_images")
    assert done.returncode == 1, done.stderr
    (bad,) = [f for f in json.loads(done.stdout) if f["status"] == FAIL]
    assert bad.keys() == {"status", "what", "detail", "remedy"}
    assert done.stderr == ""
