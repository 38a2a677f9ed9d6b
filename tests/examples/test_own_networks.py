"""Networks made elsewhere do all that those of the package do, on one device and on eight."""

import dataclasses

import jax
import numpy as np
import pytest

import adapt_jax
from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment, sources
from adapt_jax.doctor import job as doctor_job
from adapt_jax.doctor.findings import FAIL
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.export import contents, scorer
from adapt_jax.export import job as export_job
from adapt_jax.inference import forward
from adapt_jax.models import wrapped
from adapt_jax.report import page
from adapt_jax.runtime import sharding

SETS = {
    "train_data": "digits:train?classes=0-5",
    "test_data": "digits:test?classes=0-5",
    "ood": "near/others=digits:test?classes=6-9,far/grey=photos:grey?limit=60",
}
NAMES = ["nnx_batchnorm", "linen", "function"]


def spec(name):
    """It is trained on fewer images than by default."""
    shorter = "&steps=180" if name == "nnx_batchnorm" else ""  # its steps cost more
    return f"examples.own_networks.{name}:make?batch=32{shorter}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", params=NAMES)
def run(request, runs):
    """An evaluated folder of one network, and what the evaluation returned; one has its page."""
    chosen = "all" if request.param == "linen" else "msp,odin,vim?dim=16"
    workdir, name = runs / request.param, spec(request.param)
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "linen":
            patch.setattr(page, "write", lambda *_: None)
        found = evaluate_job.evaluate_run(str(workdir), model=name, **SETS, detectors=chosen)
    return request.param, workdir, found


def test_it_is_evaluated(run):
    name, _, found = run
    assert found["model"] == spec(name)
    assert found["method"] == "elsewhere"
    assert found["id_accuracy"] > 0.93
    aurocs = {r["detector"]: r["auroc"] for r in found["rows"] if r["ood"] == "others"}
    assert aurocs["msp"] > 0.8
    assert not found["failed"]
    if name == "linen":
        unfit = set(found["unfit"])
        assert aurocs.keys() | unfit == set(detectors.names())
        assert not unfit & {"odin", "iodin", "adascale", "react", "knn", "mahalanobis"}


def test_it_predicts_and_is_checked_and_evaluated_again(run):
    name, workdir, _ = run
    ready = adapt_jax.load(workdir, "mahalanobis")
    images = sources.load(SETS["test_data"], 8).images
    assert np.mean(ready.decide(images)) == pytest.approx(0.95, abs=0.01)
    assert not [f for f in doctor_job.diagnose(str(workdir)) if f.status == FAIL]
    again = evaluate_job.evaluate_run(str(workdir), detectors="msp")
    assert {row["detector"] for row in again["rows"]} == {"msp"}


def test_it_is_exported(run, tmp_path):
    _, workdir, _ = run
    out = str(tmp_path / "out")
    export_job.export(str(workdir), out, detector="knn?k=5", platforms=("cpu",))
    images = sources.load("photos:grey?limit=9", 8).images
    expected = adapt_jax.load(workdir, "knn?k=5").score(images)
    np.testing.assert_array_equal(adapt_jax.load(out).score(images), expected)
    ready = adapt_jax.load(workdir, "knn?k=5")
    counting = ready.model._replace(apply=lambda variables, images, train: len(images))
    with pytest.raises(InputError, match=r"write images.shape\[0\] for len\(images\)"):
        scorer.build(contents.of(dataclasses.replace(ready, model=counting), workdir), ("cpu",))


@pytest.mark.parametrize("name", NAMES)
def test_eight_devices_say_what_one_says(name):
    network = wrapped.find(spec(name))
    images = sources.load("photos:grey?limit=30", 8).images
    normalize = augment.make_normalize(network.mean, network.std)
    one, eight = (
        forward.make(network.model, network.variables, normalize, sharding.make_mesh(devices), 16)(
            images
        )
        for devices in (jax.devices()[:1], jax.devices()[:8])
    )
    for field in ("features", "logits"):
        np.testing.assert_allclose(eight[field], one[field], rtol=1e-5, atol=1e-5)
