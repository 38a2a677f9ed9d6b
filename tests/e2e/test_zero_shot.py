"""The zero-shot job from words and images to results with a random CLIP: mechanics only."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import file_sha256
from adapt_jax.inference import clip_encoder as encoder
from adapt_jax.inference import zero_shot_files
from adapt_jax.results import result_rows
from adapt_jax.results.scores import load_scores
from adapt_jax.runtime import sharding
from adapt_jax.zero_shot import image_features, job, learned_prompts, plan
from tests import commands
from tests.e2e import small
from tests.zero_shot import tiny_clip

# Every image is remembered, and nothing of the static score is left.
ADAPTIVE = "adaneg?groups=3&gap=0.0&logit_scale=5&score=adaptive"
TANL = "tanl?beta=20"
OOD = "near/digits6-9=digits:test?classes=6-9,far/china=photos:grey?limit=90"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clip.save(tmp_path_factory.mktemp("clip"))


def config(model, **changes):
    chosen = zero_shot_config.default_config()
    chosen.clip.path, chosen.class_names = model, "digits"
    chosen.test_data, chosen.ood = "digits:test?classes=0-5", OOD
    chosen.corpus.place = "embedded"
    chosen.detectors = f"mcm,neglabel?groups=3,{ADAPTIVE},{TANL}"
    chosen.stream.batch_size, chosen.image_batch_size, chosen.text_batch_size = 64, 64, 64
    chosen.report = False
    for key, value in changes.items():
        small.assign(chosen, key.replace("__", "."), value)
    return chosen


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    found = job.zero_shot(config(model, report=True, bootstrap=10), str(workdir))
    shutil.copytree(workdir / "scores", workdir / "first" / "scores")  # tests change its own
    return workdir, found


def scores(workdir, detector, name):
    return load_scores(workdir / "scores" / detector / f"{name}.npz")


def test_rows_and_files(run):
    workdir, found = run
    rows = {(r["detector"], r["ood"]): r for r in found["rows"]}
    assert len(rows) == 4 * 3  # two sets, and the means of both groups under one key
    for (detector, _), row in rows.items():
        assert row["adaptive"] == (detector in (ADAPTIVE, TANL))
        assert (row["stream_order"], row["stream_mix"]) == ("shuffled", "all")
        assert (row["batch_size"], row["stream_seed"]) == (64, 0)
    row = rows[ADAPTIVE, "china"]
    assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
    own, other = scores(workdir, ADAPTIVE, "id-china"), scores(workdir, ADAPTIVE, "china")
    again = result_rows.row(ADAPTIVE, "china", "far", own.scores, other.scores)
    assert again["auroc"] == pytest.approx(row["auroc"], abs=1e-6)
    assert (own.scores != scores(workdir, ADAPTIVE, "id-digits6-9").scores).any()
    assert not (workdir / "scores" / ADAPTIVE / "id.npz").exists()
    assert own.names[0] == scores(workdir, "mcm", "id").names[0] == "digits[20]"
    assert own.labels.max() == 5

    with (workdir / "predictions" / "id.csv").open() as file:
        predicted = list(csv.DictReader(file))
    right = np.mean([int(r["class"]) == c for r, c in zip(predicted, own.labels, strict=True)])
    assert found["id_accuracy"] == right
    assert predicted[0]["class_name"] in ("zero", "one", "two", "three", "four", "five")
    assert found["labels"] == 6
    assert found["negatives"] == len(np.load(workdir / "text" / "text.npz")["words"]) > 40
    page = (workdir / "report.html").read_text()
    assert "china" in page
    assert ADAPTIVE.replace("&", "&amp;") in page


def test_a_second_run_takes_everything_from_the_first(run, model, monkeypatch):
    workdir, before = run
    for method in ("images", "texts"):
        monkeypatch.setattr(encoder.Encoder, method, None)
    after = job.zero_shot(config(model, bootstrap=10), str(workdir))
    assert after["rows"] == before["rows"]


def test_another_order_changes_the_adaptive_detector_alone(run, model):
    workdir, before = run
    chosen = config(model, stream__order="id_first", stream__batch_size=50)
    after = job.zero_shot(chosen, str(workdir))
    for a, b in zip(before["rows"], after["rows"], strict=True):
        assert b["stream_order"] == "id_first"
        if a["detector"] == ADAPTIVE:
            assert a["auroc"] != b["auroc"]
        elif not a["adaptive"]:
            assert a["auroc"] == pytest.approx(b["auroc"], abs=1e-6)


def test_a_mix_is_made_of_as_many_images_of_every_set(run, model):
    workdir, _ = run
    found = job.zero_shot(config(model, stream__mix="2:1"), str(workdir))
    assert {(r["n_id"], r["n_ood"]) for r in found["rows"]} == {(180, 90)}
    names = {n: set(scores(workdir, ADAPTIVE, f"id-{n}").names) for n in ("china", "digits6-9")}
    assert len(names["china"]) == 180
    assert names["china"] == names["digits6-9"] == set(scores(workdir, "mcm", "id").names)


def test_embeddings_from_elsewhere_give_the_same_rows(run, model, tmp_path):
    workdir, _ = run
    chosen = config(model, ood=OOD + ",shifted/later=digits:train?classes=0-5&limit=50")
    chosen.full_spectrum, chosen.report = True, True
    ours = job.zero_shot(chosen, str(workdir))
    assert ours["rows"][0]["n_id"] == 359 + 50
    assert len(scores(workdir, ADAPTIVE, "later-china").scores) == 50
    assert "later-china" not in (workdir / "report.html").read_text()
    chosen.report = False
    folder = tmp_path / "features"
    for name, group in (("id", ""), ("digits6-9", "near"), ("china", "far"), ("later", "shifted")):
        (path,) = (workdir / "features").glob(f"{name}-*.npz")
        (folder / group).mkdir(parents=True, exist_ok=True)
        with np.load(path) as file:  # any length will do
            arrays = {k: file[k] for k in ("embeddings", "labels") if k in file}
        np.savez(folder / group / f"{name}.npz", **arrays)
    (folder / "text.npz").write_bytes((workdir / "text" / "text.npz").read_bytes())
    (noise,) = (workdir / "features").glob("noise-*.npz")
    (folder / "noise.npz").write_bytes(noise.read_bytes())
    chosen.profile = "2:5"
    theirs = job.from_features(chosen, str(folder), str(tmp_path / "out"))
    chosen.profile = ""
    traced = json.loads((tmp_path / "out" / "profile" / "summary.json").read_text())
    assert (traced["unit"], traced["steps"]) == ("step", [2, 5])
    assert traced["phases"]["score"] > 0.5 * traced["op_seconds"]
    for a, b in zip(theirs["rows"], ours["rows"], strict=True):
        assert (a["detector"], a["ood"]) == (b["detector"], b["ood"])
        for name in result_rows.METRICS:  # rows are made unit length once more: an image may change
            assert a[name] == pytest.approx(b[name], abs=0.005), (a["detector"], a["ood"], name)
    assert theirs["id_accuracy"] == ours["id_accuracy"]

    x = np.ones((4, 12), np.float32)
    for name, arrays, words in (
        ("near/a.npz", {"features": x}, "no array 'embeddings'"),
        ("near/a.npz", {"embeddings": x[:, :5]}, r"must be \(N, 12\)"),
        ("near/a.npz", {"embeddings": x * [[0], [1], [1], [1]]}, "1 of 4 embeddings are zero"),
        ("near/a.npz", {"embeddings": x, "names": ["b"]}, r"names must be \(4,\)"),
        ("noise.npz", {"embeddings": x[:, :5]}, r"must be \(N, 12\)"),
        ("b.npz", {"embeddings": x}, "put OOD sets into near/"),
        ("far/digits6-9.npz", {"embeddings": x}, "two sets are called"),
        ("id.npz", {"embeddings": x, "labels": [0, 1, 2, 9]}, "has labels from 0 to 9"),
        ("text.npz", {"labels": x, "negatives": x[:, :3]}, r"expected labels \(C, D\)"),
    ):
        path = folder / name
        kept = path.read_bytes() if path.exists() else None
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=words):
            job.from_features(chosen, str(folder), str(tmp_path / "out"))
        path.write_bytes(kept) if kept else path.unlink()
    (folder / "noise.npz").unlink()
    with pytest.raises(InputError, match=r"noise images and there are none.*noise\.npz"):
        job.from_features(chosen, str(folder), str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"text\.npz does not exist"):
        job.from_features(chosen, str(tmp_path), str(tmp_path / "out"))


def test_a_profile_traces_batches_of_images_whatever_is_cached(run, model):
    workdir, before = run
    again = job.zero_shot(config(model, profile="2:5", detectors="mcm"), str(workdir))
    assert again["rows"] == [
        {k: v for k, v in r.items() if not k.endswith(("_low", "_high"))}
        for r in before["rows"]
        if r["detector"] == "mcm"
    ]
    found = json.loads((workdir / "profile" / "summary.json").read_text())
    assert (found["unit"], found["steps"], found["images_per_step"]) == ("batch", [2, 5], 64)
    assert found["phases"]["forward"] > 0.5 * found["op_seconds"]
    with pytest.raises(InputError, match="profile must be"):
        job.zero_shot(config(model, profile="5"), str(workdir))


def test_images_are_cut_as_clip_wants_them(model, tmp_path):
    """A folder of files of any shape, and a file with the names of its classes."""
    rng, root = np.random.default_rng(0), tmp_path / "images"
    for name, shape in (
        ("cat/a.png", (20, 33, 3)),
        ("dog/b.png", (40, 18, 3)),
        ("x/c.png", (9, 9)),
    ):
        (root / name).parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(root / name)
    (tmp_path / "names.txt").write_text("cat\na guide dog\nsomething\n")
    chosen = config(
        model,
        test_data=f"folder:{root}?classes=0-1",
        class_names=str(tmp_path / "names.txt"),
        preprocess__variant="neglabel",
        preprocess__resize=18,
    )
    wanted = plan.embedding(chosen)
    encode = encoder.load(wanted.clip, sharding.make_mesh(), lambda text: None)
    transform = image_features.cut(wanted.preprocessing, encode.model)
    opened, groups = image_features.open_sets(wanted.suite, transform, lambda text: None)
    assert groups == {"digits6-9": "near", "china": "far"}
    names, opened, rules = image_features.labelled(wanted.classes, wanted.suite, opened, print)
    assert names == ("cat", "a guide dog")
    assert rules == {"id": "labels in order (cat is cat, dog is a guide dog), 2 of 2 classes"}
    cut = np.concatenate(list(opened["id"].blocks()))
    for row, name in zip(cut, opened["id"].names, strict=True):
        with Image.open(root / name) as image:
            np.testing.assert_array_equal(row, transform(image))
    np.testing.assert_array_equal(opened["id"].image(1), cut[1])
    rows = image_features.embed(opened, transform, encode, 64, tmp_path / "out")["id"]
    direct = np.asarray(encode.model.encode_image(cut))
    np.testing.assert_allclose(
        rows.embeddings, direct / np.linalg.norm(direct, axis=1, keepdims=True), atol=1e-6
    )
    (root / "dog" / "b.png").write_bytes(b"no image")
    opened, _ = image_features.open_sets(wanted.suite, transform, lambda text: None)
    with pytest.raises(InputError, match=r"dog/b\.png"):
        image_features.embed(opened, transform, encode, 64, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"detectors": "knn"}, "unknown zero-shot detector 'knn'"),
        ({"detectors": "adaneg?memory=3"}, "no hyper-parameter 'memory'"),
        ({"detectors": "neglabel?groups=500"}, "cannot fill 500 groups"),
        ({"test_data": "photos"}, "2 classes, class_names digits has 10 names"),
        ({"class_names": "nowhere.txt"}, "no class names called 'nowhere.txt'"),
        ({"class_names": "data"}, "'0' are codes"),
        ({"corpus__place": "/nowhere"}, "no word list /nowhere"),
        ({"clip__path": "/nowhere/clip"}, "there is no CLIP at /nowhere/clip"),
        ({"test_data": ""}, "test_data is empty"),
        ({"test_data": "folder:/nowhere"}, "no folder /nowhere"),
        ({"ood": "far/a=digits,far/id-a=photos"}, "'id-a'"),
        ({"ood": "far/a=folder:/nowhere"}, "no folder /nowhere"),
        ({"ood": "far/a=photos?resize=32"}, "preprocess.resize"),
        ({"full_spectrum": True}, "full_spectrum needs covariate-shifted"),
        ({"preprocess__variant": "bicubic"}, "known: auto, openai"),
        ({"preprocess__resize": 8}, "takes images of 16"),
        ({"stream__batch_size": 0}, "at least 1 and at most"),
    ],
)
def test_mistakes_are_found_before_any_work(model, tmp_path, monkeypatch, changes, words):
    for method in ("images", "texts"):
        monkeypatch.setattr(encoder.Encoder, method, None)
    chosen = config(model)
    for key, value in changes.items():
        small.assign(chosen, key.replace("__", "."), value)
    with pytest.raises(InputError, match=words):
        job.zero_shot(chosen, str(tmp_path))


def test_words_and_backbones_are_swept(run, model, tmp_path):
    """Only what a value changes is embedded, and the run's own bank stays as it is."""
    workdir, _ = run
    neglabel = config(model, detectors="mcm,neglabel?groups=3")
    words = plan.Sweep("negatives.fraction", ("0.1", "0.15"), (0,))
    found = job.zero_shot(neglabel, str(workdir), sweep=words)
    bank = zero_shot_files.read(workdir)["files"][zero_shot_files.TEXT]
    assert file_sha256(workdir / zero_shot_files.TEXT) == bank
    swept = json.loads((workdir / "sweep.json").read_text())["rows"]
    rows = {(r["detector"], r["value"], r["ood"], r["group"]): r["auroc"] for r in swept}
    for row in found["rows"]:
        of = row["ood"], row["group"]
        assert rows[row["detector"], "0.15", *of] == row["auroc"]
        same = rows[row["detector"], "0.1", *of] == row["auroc"]
        assert same == (row["detector"] == "mcm")
    other = tiny_clip.save(tmp_path / "other", seed=1)
    found = job.zero_shot(
        config(model, detectors="mcm", negatives__fraction=0.0),
        str(workdir),
        sweep=plan.Sweep("clip.path", (model, other), (0,)),
    )
    swept = json.loads((workdir / "sweep.json").read_text())["rows"]
    rows = {(r["value"], r["ood"], r["group"]): r["auroc"] for r in swept}
    for row in found["rows"]:
        of = row["ood"], row["group"]
        assert rows[model, *of] == row["auroc"] != rows[other, *of]


def test_text_features_of_ones_own_take_the_place_of_the_text_tower(run, model, tmp_path):
    workdir, _ = run
    first = job.zero_shot(config(model, detectors="neglabel?groups=3"), str(workdir))
    bank = tmp_path / "learned.npz"
    bank.write_bytes((workdir / zero_shot_files.TEXT).read_bytes())
    chosen = config(model, detectors="neglabel?groups=3", text_features=str(bank))
    chosen.corpus.place = "/nowhere"
    found = job.zero_shot(chosen, str(workdir))
    assert [r["auroc"] for r in found["rows"]] == [r["auroc"] for r in first["rows"]]
    assert found["corpus"]["source"] == str(bank)
    with np.load(bank) as file:
        arrays = dict(file)
    names = list(reversed(arrays["class_names"].tolist()))
    for changed, words in (
        ({"labels": arrays["labels"][1:], "class_names": names[1:]}, "there are 6 ID classes"),
        ({"class_names": names}, "class 0 is called 'five', and 'zero'"),
    ):
        np.savez(bank, **{**arrays, **changed})
        with pytest.raises(InputError, match=words):
            job.zero_shot(chosen, str(workdir))
    with pytest.raises(InputError, match="no text bank"):
        job.zero_shot(config(model, text_features="/nowhere.npz"), str(workdir))


def test_learned_prompts_take_the_place_of_words(run, model, tmp_path):
    workdir, _ = run
    rng, files = np.random.default_rng(0), [str(tmp_path / name) for name in ("a.npz", "b.npz")]
    for file in files:
        positive, negative = rng.normal(size=(1, 2, 16)), rng.normal(size=(3, 2, 16))
        np.savez(file, ctx_positive=positive, ctx_negative=negative)
    chosen = config(model, detectors="neglabel?groups=3", learned_prompts__file=files[0])
    swept = plan.Sweep("learned_prompts.file", tuple(files), (0,))
    found = job.zero_shot(chosen, str(workdir), sweep=swept)
    assert (found["labels"], found["negatives"]) == (6, 18)
    sha256 = learned_prompts.read(files[0], "end").sha256
    assert found["prompts"]["learned_sha256"] == sha256
    assert found["prompts"]["learned_sha256"] != learned_prompts.read(files[1], "end").sha256
    rows = json.loads((workdir / "sweep.json").read_text())["rows"]
    auroc = {r["value"]: r["auroc"] for r in rows if r["ood"] == "china"}
    (row,) = [r for r in found["rows"] if r["ood"] == "china"]
    assert auroc[files[0]] == row["auroc"] != auroc[files[1]]
    np.savez(files[0], ctx=rng.normal(size=(2, 24)))
    with pytest.raises(InputError, match="width 24, and the text tower of this CLIP 16"):
        job.zero_shot(chosen, str(workdir))


def test_the_command_line(model, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    file = tmp_path / "mine.py"
    file.write_text(
        "from adapt_jax.config.zero_shot import default_config\n"
        f"def get_config():\n    c = default_config()\n    c.clip.path = {model!r}\n"
        "    c.class_names, c.test_data, c.ood = 'digits', 'digits', 'far/a=photos'\n"
        "    c.corpus.place = 'embedded'\n    return c\n"
    )
    options = f"--workdir={tmp_path / 'run'}", "--config.negatives.count=100"
    done = commands.run("adapt_jax.zero_shot", f"--config={file}", *options)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("give zero_shot a folder of its own")


def test_two_processes_give_the_scores_of_one(run, model, tmp_path):
    file, workdir = tmp_path / "mine.py", tmp_path / "run"
    chosen = config(model).to_json()
    file.write_text(
        "import json\nfrom ml_collections import ConfigDict\n"
        f"def get_config():\n    return ConfigDict(json.loads({chosen!r}))\n"
    )
    command = ["adapt_jax.zero_shot", f"--config={file}", f"--workdir={workdir}"]
    codes, errors = small.finish(small.start_together([command] * 2, os.environ, devices=2))
    assert codes == [0, 0], errors
    (folder := tmp_path / "images" / "b").mkdir(parents=True)
    for name in "abcd":
        Image.new("RGB", (16, 16)).save(folder / f"{name}.png")
    (folder / "d.png").write_bytes(b"no image")  # the second process's, and of no concern to others
    command += [f"--config.ood=far/broken=folder:{folder.parent}", "--config.detectors=mcm"]
    codes, broken = small.finish(small.start_together([command] * 2, os.environ))
    assert codes == [2, 2], broken
    assert "stopped because process 1 did" in broken[0]
    assert "b/d.png" in broken[1]
    folders = workdir, run[0] / "first"
    for detector in ("mcm", ADAPTIVE):
        for name in ("digits6-9", "china"):
            ours, theirs = (scores(w, detector, name).scores for w in folders)
            np.testing.assert_allclose(ours, theirs, rtol=1e-4)
