"""What can be done with a trained network: every detector, protocols, features, own images."""

import csv
import errno
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import adapt_jax
from adapt_jax import detectors, predict, train
from adapt_jax.core.errors import InputError
from adapt_jax.data import sources
from adapt_jax.evaluate import features as from_features
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.inference import pipeline
from adapt_jax.metrics import conformal
from adapt_jax.results import merge, result_rows
from adapt_jax.results.scores import load_scores, path_of
from tests import commands
from tests.e2e import small

OOD = "near/digits6-9=digits:test?classes=6-9,far/grey=photos:grey?limit=100"
SEARCHED = {"searched": {"msp": {"chosen": {}}}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of a classifier with held-out validation sets, and all its results."""
    workdir = tmp_path_factory.mktemp("classifier")
    config = small.config(
        method={"name": "cross_entropy", "params": {"label_smoothing": 0.0}},
        val_data="digits:test?classes=0-5&limit=120",
        ood_val_data="photos:colour?limit=60",
        ood=OOD,
        detectors="all",
        bootstrap=20,
        model__width=16,
        checkpoint_every=24,
    )
    return workdir, train.train(config, str(workdir))


def test_every_detector_in_one_go(run):
    workdir, found = run
    scored = {r["detector"] for r in found["rows"]}
    assert scored | found["unfit"].keys() == set(detectors.names())
    assert found["unfit"].keys() <= {"residual", "vim", "nnguide", "ash", "scale"}  # 16 features
    assert {"odin", "iodin", "adascale", "msp", "klm", "mahalanobis", "relation"} <= scored
    assert found["seconds"].keys() == scored
    assert found["peak_memory_bytes"] > 1e8
    assert 0 < found["id_accuracy"] <= 1
    for row in found["rows"]:
        if row["ood"] != "mean":
            assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
            assert (workdir / "scores" / row["detector"] / f"{row['ood']}.npz").exists()


def test_search_and_full_spectrum(run, tmp_path):
    workdir, before = run
    found = evaluate_job.evaluate_run(
        str(workdir), detectors="knn?normalize=False,gen", search=True
    )
    assert found["searched"]["gen"]["chosen"] == found["rows"][-1]["searched"]
    assert found["ood_val"] == "photos:colour?limit=60"
    assert found["searched"]["knn?normalize=False"]["chosen"]["k"] in (50, 100, 200, 500)

    shifted = f"{OOD},shifted/later=digits:train?classes=0-5&limit=50"
    plain = evaluate_job.evaluate_run(str(workdir), detectors="msp", ood=shifted)
    full = evaluate_job.evaluate_run(str(workdir), detectors="msp", ood=shifted, full_spectrum=True)
    assert full["protocol"].endswith("(full-spectrum)")
    assert [r["ood"] for r in full["rows"]] == [r["ood"] for r in plain["rows"]]
    assert full["rows"][0]["n_id"] == plain["rows"][0]["n_id"] + 50
    scores = [
        load_scores(workdir / "scores" / "msp" / f"{name}.npz").scores for name in ("id", "later")
    ]
    assert sum(map(len, scores)) == full["rows"][0]["n_id"]
    assert full["id_accuracy"] != plain["id_accuracy"]
    with pytest.raises(InputError, match="differ in protocol"):
        merge.merge([str(workdir), _copy(before, tmp_path / "other")])
    with pytest.raises(InputError, match="full_spectrum needs covariate-shifted"):
        evaluate_job.evaluate_run(str(workdir), ood=OOD, full_spectrum=True)


def _copy(content, folder):
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(content))
    return str(folder)


@pytest.fixture(scope="module")
def features(run, tmp_path_factory):
    """The run's outputs as another framework might have saved them."""
    workdir, _ = run
    evaluate_job.evaluate_run(str(workdir), detectors="msp", ood=OOD)
    folder = tmp_path_factory.mktemp("features")
    groups = {"digits6-9": "near", "grey": "far"}
    for path in (workdir / "features").glob("*.npz"):
        name = path.stem.rpartition("-")[0]
        if name not in ("train", "id", "val", "ood_val", *groups):
            continue
        target = folder / groups.get(name, "") / f"{name}.npz"
        target.parent.mkdir(exist_ok=True)
        with np.load(path) as file:
            np.savez(target, **{k: file[k] for k in ("features", "logits", "labels") if k in file})
    return folder


def test_features_from_elsewhere_give_the_same_rows(run, features, tmp_path, request):
    workdir, _ = run
    ours = evaluate_job.evaluate_run(str(workdir), detectors="knn?k=5,msp,klm", ood=OOD)
    theirs = from_features.evaluate_features(
        str(features), str(tmp_path / "out"), detectors="knn?k=5,msp,klm"
    )
    assert len(theirs["rows"]) == len(ours["rows"])
    for a, b in zip(ours["rows"], theirs["rows"]):
        assert {k: a[k] for k in result_rows.METRICS} == {k: b[k] for k in result_rows.METRICS}
    assert theirs["id_accuracy"] == ours["id_accuracy"]
    assert (tmp_path / "out" / "report.html").exists()
    request.getfixturevalue("no_page")
    every = from_features.evaluate_features(str(features), str(tmp_path / "out"))
    assert "needs the classifier's weights" in every["unfit"]["react"]


@pytest.mark.usefixtures("no_page")
def test_what_a_detector_is_called_stays_in_the_folder_of_scores(features, tmp_path, monkeypatch):
    hostile = "knn?k=5#/../../../outside"
    with pytest.raises(InputError, match="k"):
        from_features.evaluate_features(str(features), str(tmp_path / "out"), detectors=hostile)
    parsed = detectors.parse("knn?k=5")[0]._replace(text=hostile)  # whatever else gets that far
    monkeypatch.setattr(from_features, "parse", lambda text: (parsed,))
    from_features.evaluate_features(str(features), str(tmp_path / "out"), detectors="knn?k=5")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (folder,) = (tmp_path / "out" / "scores").iterdir()
    assert folder.name == "knn?k=5%23%2F..%2F..%2F..%2Foutside"
    assert load_scores(path_of(tmp_path / "out", hostile, "grey")).scores.size


@pytest.mark.usefixtures("no_page")
def test_a_full_disk_leaves_the_results_there_were(features, tmp_path, monkeypatch):
    out = tmp_path / "out"
    from_features.evaluate_features(str(features), str(out), detectors="msp")

    def content():
        return {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    before = content()
    for failing in ("publish.result_files.write", "page.write", "publish.save_scores"):
        with monkeypatch.context() as patch:

            def full(*args, **kwargs):
                raise OSError(errno.ENOSPC, "No space left on device", str(out / "x"))

            patch.setattr(f"adapt_jax.report.{failing}", full)
            with pytest.raises(OSError, match="No space"):
                from_features.evaluate_features(str(features), str(out), detectors="energy")
        assert content() == before


def test_features_that_do_not_fit_are_refused(features, tmp_path):
    def broken(name, **arrays):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for path in features.rglob("*.npz"):
            target = folder / path.relative_to(features)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        (folder / name).parent.mkdir(exist_ok=True)
        np.savez(folder / name, **arrays)
        return str(folder)

    x, y = np.ones((4, 16), np.float32), np.zeros((4, 6), np.float32)
    for folder, words in (
        (broken("near/a.npz", feats=x), "no array 'features'"),
        (broken("near/a.npz", features=x[:, :5], logits=y), "5 dimensions"),
        (broken("near/a.npz", features=x), "both or neither have logits"),
        (broken("near/a.npz", features=x, logits=y[:3]), r"expected logits \(4, C\)"),
        (broken("near/a.npz", features=np.array([None, 1])), "cannot be read"),
        (broken("b.npz", features=x, logits=y), "put OOD sets into near/"),
        (broken("far/digits6-9.npz", features=x, logits=y), "two sets are called"),
        (broken("head.npz", kernel=x, bias=y[0]), "expected kernel"),
        (broken("head.npz", weight=np.ones((6, 16)), bias=y[0]), "does not make the logits"),
        (broken("near/a.npz", features=x, logits=y, labels=np.array([0, 1, -1, 2])), "in row 2"),
        (str(tmp_path), "train.npz does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            from_features.evaluate_features(folder, str(tmp_path / "out"))


def test_own_images_from_the_command_line(run, tmp_path):
    workdir, _ = run
    evaluate_job.evaluate_run(str(workdir), detectors="knn?k=5,msp", ood=OOD)
    held_out = load_scores(workdir / "scores" / "knn?k=5" / "id.npz").scores
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (9, 14, 3), np.uint8)).save(images / "noise.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(images / "more" / "black.png")
    (images / "broken.png").write_bytes(b"no image")
    options = "--tpr=0.9", "--detector=knn?k=5"
    done = commands.run("adapt_jax.predict", f"--workdir={workdir}", *options, images)
    assert done.returncode == 2
    assert "1 of 3 images could not be read" in done.stderr
    assert "threshold" in done.stderr.splitlines()[0]
    assert "3 images: " in done.stderr
    assert ", 1 unreadable\n" in done.stderr
    found = {pathlib.Path(r["image"]).name: r for r in map(json.loads, done.stdout.splitlines())}
    assert "broken.png" in found["broken.png"]["error"]
    for record in (found["noise.png"], found["black.png"]):
        assert record["in_distribution"] == (record["score"] >= record["threshold"])
        assert record["detector"] == "knn?k=5"
        assert record["class_by"] == "classifier"
        assert record["class_name"] == str(record["class"])
    assert held_out.min() <= found["noise.png"]["threshold"] <= held_out.max()
    ready = adapt_jax.load(workdir, detector="knn?k=5", tpr=0.9)
    paths = [images / "noise.png", images / "more" / "black.png"]
    records = [found[path.name] for path in paths]
    assert list(ready.score(paths)) == [record["score"] for record in records]
    assert list(ready.decide(paths)) == [record["in_distribution"] for record in records]
    assert ready.score([np.asarray(Image.open(p)) for p in paths]).dtype == np.float32


def test_the_images_a_threshold_came_from_are_judged_as_it_says(run):
    workdir, found = run
    ready = pipeline.load(workdir, "mahalanobis", tpr=0.9)
    images = sources.load("digits:test?classes=0-5&limit=120", ready.size).images
    assert np.mean(ready.decide(images)) == 0.9
    assert ready.detector.classify(ready.embed(images)).shape == (120,)
    with pytest.raises(InputError, match="takes one detector"):
        pipeline.load(str(workdir), detector="msp,mls")
    with pytest.raises(InputError, match="needs images to be calibrated"):
        pipeline.load(str(workdir), detector="odin")
    with pytest.raises(InputError, match="share in"):
        pipeline.load(str(workdir), tpr=95)


def test_decisions_with_a_guarantee(run, tmp_path, capsys):
    """At a level, each image by itself; at a false discovery rate, the batch."""
    workdir, _ = run
    evaluate_job.evaluate_run(str(workdir), detectors="msp", ood=OOD)
    ready = pipeline.load(str(workdir), detector="msp", alpha=0.1)
    calibration = ready.detector.calibration
    assert calibration.shape == (120,)
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(tmp_path / f"{i:02}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths = predict.expand([str(tmp_path)])
    records = list(predict.lines(ready, paths))
    *readable, broken = records
    for record in readable:
        counted = (1 + np.sum(calibration <= np.float32(record["score"]))) / 121
        assert record["p_value"] == pytest.approx(counted, abs=1e-12)
        assert record["in_distribution"] == (record["p_value"] > 0.1)
        assert record["in_distribution"] == (record["score"] >= record["threshold"])
    said = predict.promise(ready)
    assert "9.92 % are rejected on average, and with 95 % confidence at most 14.72 %" in said
    assert "calibrated on 120 images of digits:test" in said

    p_values = [record["p_value"] for record in readable]
    together = predict.discoveries(ready, records, 0.5)
    called = conformal.benjamini_hochberg(p_values, 0.5)
    assert [not r["in_distribution"] for r in together[:12]] == list(called)
    assert "threshold" not in together[0]
    assert "at most 50 % of the images called" in predict.promise(ready, 0.5)

    capsys.readouterr()
    counts = predict.show(together, "csv")
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert counts["unreadable"] == 1
    assert counts["out-of-distribution"] == sum(called)
    assert [float(r["p_value"]) for r in rows[:12]] == p_values
    assert rows[12]["error"] == broken["error"]
    for alpha, message in ((0.001, "at least 999 calibration images"), (5, "between 0 and 1")):
        with pytest.raises(InputError, match=message):
            pipeline.load(str(workdir), detector="msp", alpha=alpha)


def test_predict_is_calibrated_on_the_last_evaluation(run, tmp_path):
    workdir, _ = run
    other = "digits:test?classes=0-5&limit=60"
    evaluate_job.evaluate_run(str(workdir), detectors="msp", ood=OOD, val_data=other)
    assert other in pipeline.load(str(workdir), detector="msp").detector.calibrated_on
    evaluate_job.evaluate_run(str(workdir), detectors="msp", ood=OOD)
    loaded = pipeline.load(str(workdir), detector="msp")
    assert loaded.detector.calibrated_on == "120 images of digits:test?classes=0-5&limit=120"


def test_labels_are_those_of_now(run, tmp_path):
    """Not those in the cache, which the same images under other class names may have put there."""
    workdir, _ = run
    images = np.random.default_rng(0).integers(0, 255, (30, 8, 8, 3), np.uint8)
    labels = np.arange(30) % 6
    config = {"detectors": "msp", "ood": OOD, "test_data": f"npz:{tmp_path}/test.npz"}
    for names, expected in ((list("012345"), labels), (list("543210"), 5 - labels)):
        np.savez(tmp_path / "test.npz", images=images, labels=labels, class_names=names)
        found = evaluate_job.evaluate_run(str(workdir), **config)
        assert found["label_rules"]["id"].startswith("labels by n")
        scores = load_scores(workdir / "scores" / "msp" / "id.npz")
        assert scores.labels.tolist() == expected.tolist()
    np.savez(tmp_path / "test.npz", images=images, labels=labels, class_names=list("abcdefg"))
    with pytest.raises(InputError, match="none of them, such as a, b, c and 3 more"):
        evaluate_job.evaluate_run(str(workdir), **config)


def test_a_search_on_test_images_is_refused(run):
    workdir, _ = run
    with pytest.raises(InputError, match="holds the images of set 'grey'"):
        evaluate_job.evaluate_run(
            str(workdir),
            detectors="gen",
            ood=OOD,
            search=True,
            ood_val_data="photos:grey?limit=100",
        )


def test_tables_over_runs(run, tmp_path):
    workdir, _ = run
    found = evaluate_job.evaluate_run(str(workdir), detectors="msp", ood=OOD)
    other = found | {"seed": 1, "checkpoint_sha256": "other"}
    other["rows"] = [r | {"auroc": r["auroc"] - 0.02} for r in found["rows"]]
    other["config"] = found["config"] | {"seed": 1}
    rows = merge.merge([str(workdir), _copy(other, tmp_path / "b")])
    assert {r["runs"] for r in rows} == {2}
    assert rows[0]["auroc_std"] == pytest.approx(0.01)
    assert rows[0]["auroc"] == pytest.approx(found["rows"][0]["auroc"] - 0.01)
    for kind in merge.FORMATS:
        table = merge.text(rows, kind)
        assert "digits6-9" in table
    assert r"$\pm$ 1.00" in merge.text(rows, "latex")
    assert merge.text(rows, "csv").splitlines()[0].startswith("run,protocol,detector,ood,group")
    apart = merge.merge([f"a={workdir}", f"b={tmp_path / 'b'}"])
    assert {r["run"] for r in apart} == {"a", "b"}
    assert "auroc_std" not in apart[0]
    with pytest.raises(InputError, match="is given 2 times"):
        merge.merge([str(workdir), str(workdir)])
    seen = merge.merge([f"a={workdir}", f"b={_copy(found | SEARCHED, tmp_path / 'd')}"])
    assert [r["detector"] for r in seen if r["ood"] == "grey"] == ["msp", "msp (searched)"]
    moved = found | {"id": "/elsewhere/test", "protocol": "near/x=/elsewhere"}  # the same images
    merge.merge([str(workdir), f"m={_copy(moved, tmp_path / 'e=1')}"])
    merge.merge([str(tmp_path / "e=1")])
    fewer = found | {"rows": [r | {"n_id": 5} for r in found["rows"]], "seed": 2}
    with pytest.raises(InputError, match="number of images"):
        merge.merge([str(workdir), _copy(fewer, tmp_path / "c")])
