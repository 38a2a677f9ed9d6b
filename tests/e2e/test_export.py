"""A run as one directory: loaded here, scored without the package, refused when tampered with."""

import json
import runpy
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from jax import export as jax_export
from PIL import Image

from adapt_jax import detectors, predict, train
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import file_sha256
from adapt_jax.data import sources
from adapt_jax.evaluate import job as evaluate_job
from adapt_jax.export import job
from adapt_jax.inference import pipeline
from adapt_jax.results import result_files
from adapt_jax.workdir import bundle
from tests import commands
from tests.e2e import small

OOD = "near/digits6-9=digits:test?classes=6-9,far/grey=photos:grey?limit=100"
HELD_OUT = "digits:test?classes=0-5&limit=120"
# The package cannot be imported, wherever it is installed.
GUARD = """
import runpy, sys
sys.modules["adapt_jax"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A classifier after a few steps, and prototypes and an embedding before the first."""
    folder = tmp_path_factory.mktemp("runs")
    classifier = {"name": "cross_entropy", "params": {"label_smoothing": 0.0}}
    chosen = {"method": classifier, "total_steps": 8, "val_data": HELD_OUT}
    config = small.config(**chosen, ood=OOD, detectors="msp,mahalanobis")
    train.train(config, str(folder / "classifier"))
    config = small.config(total_steps=0, ood=OOD, detectors="mahalanobis,knn?k=5")
    assert train.train(config, str(folder / "prototypes"))["step"] == 0
    return folder


@pytest.fixture(scope="module")
def exports(runs, tmp_path_factory):
    """Where `prototypes` lies with kNN and `classifier` with its first detector."""
    folder = tmp_path_factory.mktemp("exports")
    job.export(str(runs / "classifier"), str(folder / "classifier"), tpr=0.9)
    job.export(str(runs / "prototypes"), str(folder / "prototypes"), detector="knn?k=5")
    return folder


@pytest.mark.parametrize(
    ("name", "detector"),
    [
        ("classifier", "msp"),
        ("classifier", "mahalanobis?covariance=within"),
        ("prototypes", "knn?k=5"),
        ("prototypes", "mahalanobis"),
    ],
)
def test_an_export_and_its_scorer_say_what_the_run_says(runs, exports, tmp_path, name, detector):
    folder = exports / name
    if bundle.read_json(folder, bundle.DETECTOR)["detector"] != detector:
        folder = job.export(str(runs / name), str(tmp_path / "out"), detector=detector, tpr=0.9)
    images = sources.load(HELD_OUT, 8).images
    run = pipeline.load(str(runs / name), detector=detector)
    ours = pipeline.load(str(folder), tpr=0.95)
    scores, classes = run.score(images), run.detector.classify(run.embed(images))
    np.testing.assert_array_equal(ours.score(images), scores)
    np.testing.assert_array_equal(ours.detector.classify(ours.embed(images)), classes)
    assert (ours.size, ours.resize) == (run.size, run.resize)
    assert ours.facts["class_names"] == run.facts["class_names"]
    for field in ("spec", "calibrated_on", "by"):
        assert getattr(ours.detector, field) == getattr(run.detector, field)
    np.testing.assert_array_equal(ours.detector.calibration, run.detector.calibration)
    assert ours.threshold == run.threshold

    program = jax_export.deserialize(bytearray((folder / bundle.SCORER).read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    for batch in (images, images[:1], images[:7]):
        found = program.call(batch)
        assert found["score"].dtype == np.float32
        # An untrained network's covariance has nearly empty directions; they magnify rounding.
        rtol = 1e-4 if "mahalanobis" in detector else 1e-5
        np.testing.assert_allclose(found["score"], scores[: len(batch)], rtol=rtol, atol=1e-6)
        np.testing.assert_array_equal(found["class"], classes[: len(batch)])
    assert len(np.unique(classes)) > 1
    assert 0 < np.mean(scores >= ours.threshold) < 1


def test_every_detector_works_on_a_loaded_export(runs, exports):
    found = job.load(exports / "prototypes")
    images = sources.load(HELD_OUT, 8).images
    seen = found.outputs(images)
    detector = detectors.make("nearest_mean")
    labels = sources.load(HELD_OUT, 8).labels
    assert detector.score(detector.fit(seen._replace(labels=labels)), seen).shape == (120,)
    assert found.method_state.prototypes.shape == (6, 6, 16)
    with pytest.raises(InputError, match="is no export"):
        job.load(runs / "prototypes")


def test_the_script_needs_no_package_and_agrees(runs, tmp_path):
    out = tmp_path / "moved" / "here"
    options = f"--out={out}", "--detector=mahalanobis", "--tpr=0.9", "--platforms=cpu"
    made = commands.run("adapt_jax.export", f"--workdir={runs / 'classifier'}", *options)
    assert made.returncode == 0, made.stderr
    rng = np.random.default_rng(0)
    for name, array in {
        "square.png": rng.integers(0, 256, (8, 8, 3), np.uint8),
        "wide.png": rng.integers(0, 256, (30, 71, 3), np.uint8),
        "tall.png": rng.integers(0, 256, (33, 9, 4), np.uint8),  # with alpha
        "deep.png": rng.integers(0, 65536, (20, 20), np.uint16),
    }.items():
        Image.fromarray(array).save(tmp_path / name)
    (tmp_path / "zz.png").write_bytes(b"no image")
    paths = sorted(tmp_path.glob("*.png"))
    script = [sys.executable, "-I", "-c", GUARD, str(out / bundle.SCRIPT)]
    for options, chosen in ([], {}), (["--alpha=0.05"], {"alpha": 0.05}):
        done = subprocess.run(
            [*script, *options, *map(str, paths)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        theirs = [json.loads(line) for line in done.stdout.splitlines()]
        ours = list(predict.lines(pipeline.load(str(out), **chosen), paths))
        assert [r["image"] for r in theirs] == [r["image"] for r in ours]
        for a, b in zip(theirs, ours):
            assert a.keys() == b.keys()
            assert ("p_value" in a) == ("alpha" in chosen and "error" not in a)
            if "error" not in a:
                assert a.pop("score") == pytest.approx(b.pop("score"), rel=1e-5)
                assert a == b
        assert ["error" in r for r in theirs] == [False] * 4 + [True]
    begun = runpy.run_path(str(out / bundle.SCRIPT))
    with pytest.raises(SystemExit, match=r"^--alpha lies between 1/"):
        begun["main"](["--alpha=0.0001", str(paths[0])])


def test_the_script_scores_nothing_when_a_file_has_changed(exports, tmp_path):
    """Noticed before anything is imported, the script's own text included."""
    for name in (bundle.WEIGHTS, bundle.DETECTOR, bundle.SCORER, bundle.SCRIPT):
        folder = shutil.copytree(exports / "prototypes", tmp_path / name)
        with (folder / name).open("ab") as file:
            file.write(b"\n")
        said = _verified(folder)
        assert f"{name} is not the file that was exported" in said
    for content in ("", "[]", '{"files": {}}', '{"files": {"../x": {"sha256": ""}}}', "[" * 9999):
        (folder / bundle.CARD).write_text(content)
        assert "card.json or a file it names is damaged" in _verified(folder)


def _verified(folder):
    """What the script says of an export that is not whole."""
    command = [sys.executable, "-I", str(folder / bundle.SCRIPT), "image.png"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_evaluating_an_export_gives_the_rows_of_its_run(runs, exports, tmp_path):
    folder = exports / "prototypes"
    before = {p.name: file_sha256(p) for p in folder.iterdir()}
    with pytest.raises(InputError, match="give --out=DIR"):
        evaluate_job.evaluate_run(str(folder))
    with pytest.raises(InputError, match="stays as it is; choose another folder"):
        evaluate_job.evaluate_run(str(folder), out=str(exports / "classifier"))
    with pytest.raises(InputError, match="--out is for exports"):
        evaluate_job.evaluate_run(str(runs / "prototypes"), out=str(tmp_path))
    found = evaluate_job.evaluate_run(str(folder), out=str(tmp_path / "results"))
    known = result_files.read(runs / "prototypes")
    assert found["rows"] == known["rows"]
    assert found["checkpoint_sha256"] == known["checkpoint_sha256"]
    assert {p.name: file_sha256(p) for p in folder.iterdir()} == before
    other = shutil.copytree(folder, tmp_path / "other")
    config = bundle.read_json(folder, bundle.CONFIG)
    config["train_data"] = "digits:train?classes=0-5&limit=200"
    _rewrite(other, bundle.CONFIG, json.dumps(config).encode())
    with pytest.raises(InputError, match="other images than train_data"):
        evaluate_job.evaluate_run(str(other), out=str(tmp_path / "results"))


def test_the_card_says_what_it_is(runs, exports):
    card = bundle.verify(exports / "classifier")
    known = result_files.read(runs / "classifier")
    assert card["results"]["rows"] == known["rows"]
    assert card["checkpoint_sha256"] == known["checkpoint_sha256"]
    assert card["data"]["fingerprint"] == sources.load("digits:train?classes=0-5", 8).content_sha256
    assert card["detector"]["calibrated_on"] == f"120 images of {HELD_OUT}"
    assert card["detector"]["tpr"] == 0.9
    assert card["versions"]["jax"] == jax.__version__
    assert card["scorer"]["relative_difference"] < 1e-5
    assert card["scorer"]["checked_on"] == "cpu"
    text = (exports / "classifier" / bundle.README).read_text()
    assert text.startswith("---\nlicense: unknown\nlibrary_name: adapt_jax\n")
    row = next(r for r in known["rows"] if (r["detector"], r["ood"]) == ("msp", "grey"))
    assert f"{100 * row['auroc']:.2f}" in text
    assert "None" not in text
    config = bundle.read_json(exports / "classifier", bundle.CONFIG)
    assert config["model"]["dtype"] == "float32"  # not "auto": it is what was calibrated


def _rewrite(folder, name, content):
    """Changes a file and the card with it, as somebody would who means to."""
    (folder / name).write_bytes(content)
    card = bundle.read_json(folder, bundle.CARD)
    card["files"][name]["sha256"] = file_sha256(folder / name)
    (folder / bundle.CARD).write_text(json.dumps(card))


def test_what_is_not_as_it_was_exported_is_refused(exports, tmp_path):
    folder = tmp_path / "copy"

    def broken(name, change):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(exports / "prototypes", folder)
        change(folder / name)
        with pytest.raises(InputError) as caught:
            pipeline.load(str(folder))
        return str(caught.value)

    def flip(path):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    def arrays(function):
        def change(path):
            found = safetensors.numpy.load_file(path)
            function(found)
            _rewrite(path.parent, path.name, safetensors.numpy.save(found))

        return change

    for name in bundle.HASHED:
        assert f"{name} is not the file that was exported" in broken(name, flip)
    assert "scorer.stablehlo is missing" in broken(bundle.SCORER, lambda path: path.unlink())
    weights, detector = bundle.WEIGHTS, bundle.DETECTOR_ARRAYS
    said = broken(weights, arrays(lambda found: found.pop("method.prototypes")))
    assert "(1 missing: method.prototypes); export the run again" in said
    said = broken(detector, arrays(lambda found: found.update(extra=np.zeros(2))))
    assert "(1 unused: extra)" in said
    said = broken(weights, arrays(lambda a: a.update({"method.prototypes": np.zeros((6, 6, 15))})))
    assert "1 of the wrong shape: method.prototypes is (6, 6, 15), not (6, 6, 16)" in said
    assert "1 of the wrong dtype: method.prototypes is float64, not float32" in said
    said = broken(detector, arrays(lambda a: a.update({"state.center": np.zeros(15, np.float32)})))
    assert "state.center is (15,), not (8,)" in said
    newer = {"format": "adapt_jax export 2"}
    said = broken(bundle.CARD, lambda path: path.write_text(json.dumps(newer)))
    assert "is of the format 'adapt_jax export 2'" in said


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(runs, exports, tmp_path):
    run, out = str(runs / "classifier"), tmp_path / "out"
    (mine := tmp_path / "mine").mkdir()
    (mine / "thesis.tex").touch()
    for choices, words in (
        ({"detector": "odin"}, "odin needs images to be calibrated"),
        ({"detector": "knn?k=5&sharded=true"}, "export it without sharded=true"),
        ({"detector": "msp,mls"}, "takes one detector"),
        ({"tpr": 95}, r"share in \(0, 1\]"),
        ({"platforms": ("cpu", "gpu")}, "some of cpu, cuda, tpu, rocm, got gpu"),
        ({"platforms": ("tpu",)}, "lacks cpu, on which the scorer is checked"),
        ({"out": ""}, "--out=DIR is needed"),
        ({"out": str(mine), "overwrite": True}, "is no export"),
        ({"out": str(exports / "classifier")}, "replace it with --overwrite"),
        ({"workdir": str(exports / "classifier"), "detector": "knn"}, "holds the detector msp"),
        ({"workdir": str(tmp_path / "none")}, "is not a folder"),
    ):
        with pytest.raises(InputError, match=words):
            job.export(**({"workdir": run, "out": str(out)} | choices))
    with pytest.raises(InputError, match="holds the detector msp and not knn"):
        pipeline.load(str(exports / "classifier"), detector="knn")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_an_export_can_be_exported_again(exports, tmp_path):
    """Programs age, arrays do not."""
    before = exports / "prototypes"
    after = job.export(str(before), str(tmp_path / "new"), tpr=0.5, platforms=("cpu",))
    for name in (bundle.CONFIG, bundle.DATA, bundle.WEIGHTS, bundle.DETECTOR_ARRAYS):
        assert (after / name).read_bytes() == (before / name).read_bytes()
    old, new = (pipeline.load(str(folder)) for folder in (before, after))
    assert (old.tpr, new.tpr) == (0.95, 0.5)
    assert new.threshold > old.threshold
    cards = [bundle.read_json(folder, bundle.CARD) for folder in (before, after)]
    assert cards[0]["results"] == cards[1]["results"]


def test_an_export_computes_in_what_its_run_was_evaluated_in(runs, tmp_path):
    """An accelerator's bfloat16, say; not in what this machine would choose."""
    run = shutil.copytree(runs / "classifier", tmp_path / "run")
    index = json.loads((run / "features" / "index.json").read_text())
    assert index["dtype"] == "float32"
    (run / "features" / "index.json").write_text(json.dumps(index | {"dtype": "bfloat16"}))
    out = job.export(str(run), str(tmp_path / "out"), platforms=("cpu",))
    assert bundle.read_json(out, bundle.CONFIG)["model"]["dtype"] == "bfloat16"
    images = sources.load(HELD_OUT, 8).images
    wide, narrow = (pipeline.load(folder).score(images) for folder in (runs / "classifier", out))
    assert 0 < np.abs(wide - narrow).max() < 0.05


def test_an_export_is_replaced_whole(runs, exports, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(exports / "prototypes", out)
    (out / "left over").touch()
    job.export(str(runs / "classifier"), str(out), overwrite=True, platforms=("cpu",))
    assert sorted(p.name for p in out.iterdir()) == sorted(
        (*bundle.FILES, bundle.CARD, bundle.README, bundle.SCRIPT)
    )
    assert pipeline.load(out).detector.spec.text == "msp"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
