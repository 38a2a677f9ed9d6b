"""`run` from the config to the verdict: rehearsed, resumed, read again, and refused."""

import json

import jax
import pytest

from adapt_jax import train
from adapt_jax.core.errors import InputError
from adapt_jax.reproduce import job
from adapt_jax.results import result_files
from adapt_jax.runtime import sharding


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    every = sharding.make_mesh
    monkeypatch.setattr(
        sharding, "make_mesh", lambda devices=None: every(devices or jax.devices()[:1])
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reproduce")


def test_a_rehearsal_runs_the_whole_path_and_says_what_it_is(folder, capsys):
    (found,) = job.run("palm_cifar100", str(folder), seeds=[0], rehearse=True)
    assert found.sentence.startswith("REHEARSAL")
    assert {j.state for j in found.judgements} == {"rehearsal"}
    target = folder / "rehearsal/palm_cifar100"
    assert json.loads((target / "verdict.json").read_text())["rehearsal"] is True
    page = (target / "verdict.md").read_text()
    assert page.startswith("# PALM, CIFAR-100, ResNet-34\n\n**REHEARSAL")
    assert "reproduced:" not in page
    assert "REHEARSAL" in capsys.readouterr().out


def test_finished_seeds_are_read_and_judged_in_the_convention_of_the_paper(folder, monkeypatch):
    runs = folder / "rehearsal/palm_cifar100"
    content = result_files.read(runs / "seed0")
    other = content | {"seed": 1, "config": content["config"] | {"seed": 1}}
    other["rows"] = [r | {"auroc": r["auroc"] / 2, "fpr95_idpos_pct": 0.5} for r in other["rows"]]
    result_files.write(runs / "seed1", other, other.pop("rows"))

    monkeypatch.setattr(
        train, "train", lambda *_, **__: pytest.fail("a finished run was trained again")
    )
    (found,) = job.run("palm_cifar100", str(folder), seeds=[0, 1], rehearse=True)
    assert [j.place for j in found.judgements][::2] == [
        "svhn", "places365", "lsun", "isun", "textures", "mean",
    ]  # fmt: skip
    rows = {r["ood"]: r for r in content["rows"]}
    fpr, *_, auroc = found.judgements
    assert (fpr.place, fpr.column, fpr.theirs.mean) == ("svhn", "fpr95", 3.29)
    assert fpr.ours == pytest.approx(50 * (rows["svhn"]["fpr95_idpos_pct"] + 0.5))
    assert auroc.ours == pytest.approx(75 * rows["mean"]["auroc"])
    assert auroc.spread == pytest.approx(25 * rows["mean"]["auroc"])


def test_a_rehearsal_without_training(tmp_path):
    (found,) = job.run("neglabel_imagenet_log", str(tmp_path), seeds=[0], rehearse=True)
    assert len(found.judgements) == 10
    assert {j.band for j in found.judgements} == {0.5}


def test_sets_that_are_not_here_are_named_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPT_JAX_DATA", "nothing")
    with pytest.raises(InputError, match="8 of 8 image sets are not here: train, id, cifar100"):
        job.run("reweightood_cifar10", str(tmp_path))
    own = {"overrides": ["train_data=digits:train,test_data=digits:test"]}
    with pytest.raises(InputError, match=r"--sets=tin judges what is here"):
        job.run("reweightood_cifar10", str(tmp_path), sets=["tin=photos", "svhn"], **own)


def test_wrong_seeds_are_refused(tmp_path):
    with pytest.raises(InputError, match="--seeds takes different whole numbers"):
        job.run("palm_cifar100", str(tmp_path), seeds=[1, 1], rehearse=True)
