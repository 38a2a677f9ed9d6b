"""Later images of a zero-shot run: scores, decisions, and streams that survive being killed."""

import json
import os
import pathlib
import runpy
import signal
import time

import numpy as np
import pytest
from jax import export as jax_export
from PIL import Image

import adapt_jax
from adapt_jax import predict
from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.core.errors import InputError
from adapt_jax.data import streams
from adapt_jax.doctor import job as doctor
from adapt_jax.evaluate import job as evaluate
from adapt_jax.export import job as export
from adapt_jax.inference import clip_encoder, live_stream, stream_files, zero_shot_files
from adapt_jax.results import merge, result_files
from adapt_jax.results.scores import load_scores, path_of, save_scores
from adapt_jax.workdir import bundle
from adapt_jax.zero_shot import job
from tests import commands
from tests.zero_shot import tiny_clip
from tests.zero_shot_detectors import data

BATCH = 4
# Every image is remembered, and nothing of the static score is left.
ADAPTIVE = "adaneg?groups=3&gap=0.0&logit_scale=5&score=adaptive"
TANL = "tanl?beta=20&logit_scale=5&gap=0.0&alpha=0.5"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run."""
    root = tmp_path_factory.mktemp("zero_shot")
    config = zero_shot_config.default_config()
    config.clip.path, config.class_names = tiny_clip.save(root / "clip"), "digits"
    config.test_data, config.ood = "digits:test?classes=0-5&limit=60", "far/china=photos?limit=30"
    config.corpus.place, config.report = "embedded", False
    config.detectors = f"mcm,neglabel?groups=3,{ADAPTIVE},{TANL}"
    config.stream.batch_size, config.image_batch_size, config.text_batch_size = BATCH, 16, 64
    job.zero_shot(config, str(root / "run"))
    return root / "run"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Image files of several shapes, in the order of their names."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(30):
        shape = (16 + i % 3, 16 + i % 5, 3)
        Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(root / f"{i:02}.png")
    return sorted(root.iterdir())


def printed(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_static_detector_scores_as_in_the_run(run):
    for detector in ("mcm", "neglabel?groups=3"):
        ready = adapt_jax.load(run, detector)
        known = load_scores(path_of(run, detector, "id")).scores
        np.testing.assert_allclose(ready.detector.calibration, known, atol=1e-6)
        assert np.mean(ready.detector.calibration >= ready.threshold) >= 0.95
        assert np.mean(ready.detector.calibration > ready.threshold) < 0.95
        assert ready.detector.calibrated_on == "60 images of digits:test?classes=0-5&limit=60"
    assert adapt_jax.load(run).detector.spec.text == "mcm"


def test_python_and_the_command_line_say_the_same(run, files):
    ready = adapt_jax.load(run, alpha=0.1)
    done = commands.run("adapt_jax.predict", f"--workdir={run}", "--alpha=0.1", *files[:5])
    assert done.returncode == 0, done.stderr
    found = printed(done.stdout)
    scores, classes = ready.score(files[:5]), ready.detector.classify(ready.embed(files[:5]))
    assert [r["score"] for r in found] == scores.tolist()
    assert [r["in_distribution"] for r in found] == ready.decide(files[:5]).tolist()
    assert [r["class"] for r in found] == classes.tolist()
    assert {r["class_name"] for r in found} <= {"zero", "one", "two", "three", "four", "five"}
    assert {r["class_by"] for r in found} == {"nearest label"}
    assert all(1 / 61 <= r["p_value"] <= 1 for r in found)
    np.testing.assert_array_equal(ready.score([Image.open(f) for f in files[:5]]), scores)
    grey = np.random.default_rng(1).integers(0, 255, (20, 18, 4), np.uint8)
    np.testing.assert_array_equal(ready.score(grey), ready.score(Image.fromarray(grey)))


def test_what_cannot_be_said_how(run, files, tmp_path):
    with pytest.raises(InputError, match="adapts to the images it sees"):
        adapt_jax.load(run, ADAPTIVE).score(files[0])
    with pytest.raises(InputError, match="run's own streams"):
        adapt_jax.load(run, "adaneg?groups=3").stream(tmp_path / "s")
    with pytest.raises(InputError, match="takes one detector"):
        adapt_jax.load(run, "mcm,csp")
    for flags, words in (
        (("--stream=s", "--alpha=0.1"), "do not depend on each other"),
        (("--explain",), "--explain needs --stream"),
    ):
        done = commands.run("adapt_jax.predict", f"--workdir={run}", *flags, files[0])
        assert done.returncode == 2
        assert words in done.stderr
    text = run / zero_shot_files.TEXT
    kept = text.read_bytes()
    text.write_bytes(kept[:-1])
    with pytest.raises(InputError, match=r"text\.npz is not what zero_shot\.json was written with"):
        adapt_jax.load(run)
    text.write_bytes(kept)


@pytest.mark.parametrize("detector", [ADAPTIVE, TANL])
def test_a_stream_goes_on_where_it_was(run, files, tmp_path, detector):
    ready = adapt_jax.load(run, detector)
    live_stream._program.cache_clear()  # of other tests
    with ready.stream(tmp_path / "whole") as whole:
        parts = files[:9], files[9:10], files[10:]
        expected = [whole.score(part) for part in parts]
        assert whole._step._cache_size() == 1  # one program, whatever is asked for at a time
        remembers = whole.remembers()
        with pytest.raises(InputError, match="another program is writing"):
            ready.stream(tmp_path / "whole")
    found = []
    for part in parts:
        with ready.stream(tmp_path / "parts") as stream:
            assert stream.seen == sum(map(len, found))
            found.append(stream.score(part))
            assert stream.remembers() == remembers or part is not parts[-1]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    fresh = ready.stream(tmp_path / "other").score(files[10:])
    assert (fresh != expected[-1]).any()
    log = printed((tmp_path / "parts" / "seen.jsonl").read_text())
    assert [line["image"] for line in log] == [str(f) for f in files]
    np.testing.assert_array_equal([line["score"] for line in log], np.concatenate(expected))


def test_a_batch_that_was_interrupted_was_not_seen(run, files, tmp_path, monkeypatch):
    ready = adapt_jax.load(run, ADAPTIVE)
    with ready.stream(tmp_path / "whole") as whole:
        expected = whole.score(files[:12])
    with ready.stream(tmp_path / "s") as stream:
        stream.score(files[:4])
        with monkeypatch.context() as patch:
            patch.setattr(stream_files, "write_atomically", full)
            with pytest.raises(OSError, match="full"):
                stream.score(files[4:8])
        assert stream.seen == 4
        np.testing.assert_array_equal(stream.score(files[4:12]), expected[4:])
        with pytest.raises(InputError, match=r"none\.png"):
            stream.score([files[0], tmp_path / "none.png"])
        assert stream.seen == 12
    assert len((tmp_path / "s" / "seen.jsonl").read_text().splitlines()) == 12
    with pytest.raises(InputError, match="another detector"):
        adapt_jax.load(run, TANL).stream(tmp_path / "s")
    (tmp_path / "s" / "state.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"state\.npz"):
        ready.stream(tmp_path / "s")


def full(path, content):
    raise OSError("full")


def test_a_killed_stream_gives_the_scores_of_one_that_was_not(run, files, tmp_path):
    arguments = f"--workdir={run}", f"--detector={ADAPTIVE}"
    whole = commands.run("adapt_jax.predict", *arguments, f"--stream={tmp_path}/whole", *files)
    assert whole.returncode == 0, whole.stderr
    assert "30 images seen; remembers" in whole.stderr
    folder = tmp_path / "killed"
    os.mkfifo(pipe := tmp_path / "names")
    process = commands.Command("adapt_jax.predict", *arguments, f"--stream={folder}", stdin=pipe)
    with open(os.open(pipe, os.O_RDWR), "w") as names:  # does not wait for its reader, who may die
        names.write("".join(f"{f}\n" for f in files[:8]))
        names.flush()
        while (said := process.written()[0]).count("\n") < 8:
            assert process.poll() is None, process.written()
            time.sleep(0.01)
        names.write("".join(f"{f}\n" for f in files[8:16]))  # some of it may be seen
        names.flush()
        process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    first = printed(said)[:8]
    with adapt_jax.load(run, ADAPTIVE).stream(folder) as stream:
        seen = stream.seen
    assert seen in (8, 12, 16)
    rest = commands.run("adapt_jax.predict", *arguments, f"--stream={folder}", *files[seen:])
    expected = printed(whole.stdout)
    assert first == expected[:8]
    assert printed(rest.stdout) == expected[seen:]
    logs = [(tmp_path / name / "seen.jsonl").read_text() for name in ("whole", "killed")]
    assert logs[0] == logs[1]


def test_a_stream_says_what_decided(run, files, tmp_path):
    ready = adapt_jax.load(run, ADAPTIVE)
    with ready.stream(tmp_path / "s") as stream:
        rows = ready.embed(files[:BATCH]).features
        stream.score_embeddings(rows, [f.name for f in files[:BATCH]])
        assert sum(list(stream.remembers().values())[:2]) == BATCH
        explained = stream.explain(rows)
    for i, found in enumerate(explained):
        words = found["words"]
        assert len(words) == 5
        shares = [word["share"] for word in words]
        assert shares == sorted(shares, reverse=True)
        assert {word["kind"] for word in words} <= {"label", "negative"}
        own = [image for word in words for image in word["images"] if image["number"] == i]
        assert own[0]["image"] == files[i].name  # a batch is scored with what it has just written
        assert own[0]["cosine"] == pytest.approx(1, abs=1e-6)
    done = commands.run(
        "adapt_jax.predict", f"--workdir={run}", f"--detector={TANL}", "--explain",
        f"--stream={tmp_path}/t", *files[:2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    words = printed(done.stdout)[0]["because"]["words"]
    assert "images" not in words[0]
    assert {"word", "kind", "share", "cosine"} == words[0].keys()


def test_embeddings_made_elsewhere(run, files, tmp_path):
    folder = tmp_path / "features"
    (folder / "far").mkdir(parents=True)
    record = zero_shot_files.read(run)
    for name, target in (("id", "id"), ("china", "far/china"), ("noise", "noise")):
        rows = np.load(run / record["embeddings"][name])["embeddings"]
        np.savez(folder / f"{target}.npz", embeddings=rows)
    (folder / "text.npz").write_bytes((run / zero_shot_files.TEXT).read_bytes())
    config = zero_shot_config.default_config()
    config.detectors, config.stream.batch_size, config.report = f"mcm,{ADAPTIVE}", BATCH, False
    job.from_features(config, str(folder), str(tmp_path / "out"))
    ready, own = adapt_jax.load(tmp_path / "out"), adapt_jax.load(run)
    rows = own.embed(files[:9]).features
    np.testing.assert_allclose(ready.detector.score(rows), own.score(files[:9]), atol=1e-6)
    with ready.stream(tmp_path / "s") as stream, own.stream(tmp_path / "t") as other:
        np.testing.assert_allclose(stream.score_embeddings(rows), other.score(files[:9]), atol=1e-5)
    with pytest.raises(InputError, match="has no CLIP"):
        ready.score(files[0])
    with pytest.raises(InputError, match="has no image tower to export"):
        export.export(str(tmp_path / "out"), str(tmp_path / "export"))


def test_the_doctor_checks_a_zero_shot_run(run):
    findings = doctor.diagnose(str(run))
    assert not [f for f in findings if f.status == "FAIL"]
    what = {f.what for f in findings}
    in_stream = f"scores of {ADAPTIVE} in the stream of china"
    assert {"text bank", "features of id", "features of noise", "results", "counts"} <= what
    assert {"scores of mcm", in_stream} <= what
    path = path_of(run, ADAPTIVE, "id-china")
    kept, found = path.read_bytes(), load_scores(path)
    save_scores(path, found.scores[::2], found.names[::2])
    failed = {f.what: f.detail for f in doctor.diagnose(str(run)) if f.status == "FAIL"}
    path.write_bytes(kept)
    assert "do not give the recorded metrics" in failed[in_stream]
    assert "id has 60 in" in failed["counts"]
    text = run / zero_shot_files.TEXT
    kept = text.read_bytes()
    text.write_bytes(kept[:-1])
    failed = {f.what: f.detail for f in doctor.diagnose(str(run)) if f.status == "FAIL"}
    text.write_bytes(kept)
    assert "is not what zero_shot.json was written with" in failed["text bank"]


@pytest.mark.parametrize("detector", ["mcm", "neglabel?groups=3&logit_scale=5"])
def test_an_export_scores_as_the_run_does(run, files, tmp_path, detector):
    folder = export.export(
        str(run), str(tmp_path / "out"), detector=detector, tpr=0.9, platforms=("cpu",)
    )
    ours, theirs = adapt_jax.load(folder), adapt_jax.load(run, detector, tpr=0.9)
    scores = theirs.score(files)
    np.testing.assert_allclose(ours.score(files), scores, atol=1e-6)
    np.testing.assert_array_equal(ours.decide(files), theirs.decide(files))
    assert ours.threshold == theirs.threshold
    script = runpy.run_path(str(folder / bundle.SCRIPT))
    scorer = jax_export.deserialize(bytearray((folder / bundle.SCORER).read_bytes()))
    printed = script["records"](list(map(str, files)), scorer, None, ours.threshold)
    np.testing.assert_allclose([r["score"] for r in printed], scores, atol=1e-6)
    wanted = list(predict.lines(theirs, files))
    for name in ("in_distribution", "threshold", "detector", "class", "class_name", "class_by"):
        assert [r[name] for r in printed] == [r[name] for r in wanted], name
    assert len({r["class"] for r in printed}) > 1
    card = bundle.read_json(folder, bundle.CARD)
    assert card["results"]["rows"] == result_files.read(run)["rows"]
    assert card["scorer"]["relative_difference"] < 1e-6
    again = export.export(str(folder), str(tmp_path / "again"), platforms=("cpu",))
    for name in (bundle.CONFIG, bundle.DATA, bundle.WEIGHTS, bundle.DETECTOR_ARRAYS):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    for job_of_runs in (doctor.diagnose, evaluate.evaluate_run):
        with pytest.raises(InputError, match="export of a zero-shot run and only scores images"):
            job_of_runs(str(folder))
    with pytest.raises(InputError, match="does not adapt"):
        ours.stream(tmp_path / "s")


def test_what_cannot_be_done_with_a_zero_shot_run_says_so(run, tmp_path):
    with pytest.raises(InputError, match="adapts to the images it sees.*--stream=DIR"):
        export.export(str(run), str(tmp_path / "out"), detector=ADAPTIVE)
    with pytest.raises(InputError, match="mixes zero-shot configs with configs that are trained"):
        adapt_jax.compare(["digits_zero_shot", "digits_adapt"], [0], str(tmp_path / "compare"))
    rows = merge.merge([str(run)])
    assert {r["detector"] for r in rows} == {"mcm", "neglabel?groups=3", ADAPTIVE, TANL}


def test_a_stream_scores_as_the_run_did(run, tmp_path):
    """The images of the run, in its order, have the run's own scores."""
    record = zero_shot_files.read(run)
    own, other = (
        np.load(run / record["embeddings"][name])["embeddings"] for name in ("id", "china")
    )
    order = streams.order(len(own), len(other), streams.make(batch_size=BATCH))
    with adapt_jax.load(run, ADAPTIVE).stream(tmp_path / "s") as stream:
        scores = stream.score_embeddings(np.concatenate([own, other])[order])
    known = [load_scores(path_of(run, ADAPTIVE, key)).scores for key in ("id-china", "china")]
    np.testing.assert_array_equal(scores, np.concatenate(known)[order])


def test_zero_shot_configs_are_compared(tmp_path, monkeypatch):
    """Two detectors' configs with two seeds; what one run has embedded the others use."""
    path = tiny_clip.save(tmp_path / "clip")
    for name, prompt in (("nice", "the nice {}"), ("plain", "{}")):
        chosen = zero_shot_config.default_config()
        chosen.clip.path, chosen.class_names = path, "digits"
        chosen.test_data = "digits:test?classes=0-5&limit=40"
        chosen.ood, chosen.corpus.place = "far/china=photos?limit=30", "embedded"
        chosen.prompts.labels, chosen.report = prompt, False
        chosen.detectors = "mcm,neglabel?groups=3"
        (tmp_path / f"zs_{name}.py").write_text(
            "import json\nfrom ml_collections import ConfigDict\n"
            f"def get_config():\n    return ConfigDict(json.loads({chosen.to_json()!r}))\n"
        )
    configs = [str(tmp_path / f"zs_{name}.py") for name in ("nice", "plain")]
    images, inner = [], clip_encoder.Encoder.images
    monkeypatch.setattr(
        clip_encoder.Encoder, "images", lambda *a, **k: images.append(a[4]) or inner(*a, **k)
    )
    content = adapt_jax.compare(configs, [0, 1], str(tmp_path / "out"))
    assert sorted(images) == ["china", "id"]
    assert list(content["configs"]) == ["nice", "plain"]
    assert list(content["differences"]) == ["prompts.labels"]
    rows = {(r["config"], r["detector"], r["ood"]): r for r in content["rows"]}
    assert len(rows) == 2 * 2 * 2
    assert rows["nice", "mcm", "china"]["auroc"] != rows["plain", "mcm", "china"]["auroc"]
    assert rows["nice", "mcm", "china"]["auroc_std"] == 0
    assert rows["nice", "mcm", "china"]["runs"] == 2
    (tie,) = content["ties"]
    assert "Holm's correction" in tie
    page = (tmp_path / "out" / "compare.md").read_text()
    assert f"- CLIP: {path}" in page
    assert "nice, plain on digits:test?classes=0-5&limit=40" in page
    monkeypatch.setattr(job, "zero_shot", None)
    again = adapt_jax.compare(configs, [0, 1], str(tmp_path / "out"))
    assert again["rows"] == content["rows"]
    for overrides, words in (
        (["stream.order=id_first"], "no score depends on it"),
        (["corpus.place=/nowhere"], "no word list"),
    ):
        with pytest.raises(InputError, match=words):
            adapt_jax.compare(configs, [0], str(tmp_path / "out"), overrides=overrides)


def test_zero_shot_configs_are_compared_on_embeddings(tmp_path, monkeypatch):
    """Whatever they say of CLIP, words and images has no effect; other embeddings are noticed."""
    rng = np.random.default_rng(0)
    bank, folder = data.bank(rng), tmp_path / "embeddings"
    (folder / "far").mkdir(parents=True)
    np.savez(folder / "text.npz", labels=bank.labels, negatives=bank.negatives)
    for name in ("id", "far/a"):
        np.savez(folder / f"{name}.npz", embeddings=data.images(rng, bank, 30))
    configs = []
    for name, detectors in (("one", "mcm"), ("two", f"mcm,{ADAPTIVE}")):
        configs.append(str(tmp_path / f"zs_{name}.py"))
        pathlib.Path(configs[-1]).write_text(
            "from adapt_jax.config import zero_shot\n"
            "def get_config():\n    chosen = zero_shot.default_config()\n"
            f"    chosen.detectors, chosen.clip.path = {detectors!r}, {name!r}\n"
            f"    chosen.class_names, chosen.report = {name!r}, False\n"
            "    chosen.stream.batch_size = 8\n    return chosen\n"
        )

    def run(**changes):
        return adapt_jax.compare(
            configs, [0, 1], str(tmp_path / "out"), from_features=str(folder), **changes
        )

    content = run()
    assert list(content["differences"]) == ["detectors"]
    rows = {(r["config"], r["detector"], r["ood"]): r for r in content["rows"]}
    assert len(rows) == 3 * 2
    assert rows["one", "mcm", "a"]["auroc"] == rows["two", "mcm", "a"]["auroc"]
    assert rows["two", ADAPTIVE, "a"]["auroc_std"] > 0
    assert content["ties"][-1].endswith(f"take as independent: {ADAPTIVE}")
    made, inner = [], job.from_features
    monkeypatch.setattr(job, "from_features", lambda *a, **k: made.append(a) or inner(*a, **k))
    assert run()["rows"] == content["rows"]
    assert not made
    np.savez(folder / "far" / "a.npz", embeddings=data.images(rng, bank, 30))
    assert run()["rows"] != content["rows"]
    assert len(made) == 4
    with pytest.raises(InputError, match="clip.path has no effect.*from_features"):
        run(overrides=["clip.path=other"])
    with pytest.raises(InputError, match="for zero-shot configs"):
        adapt_jax.compare(["digits_adapt"], [0], str(tmp_path), from_features=str(folder))
