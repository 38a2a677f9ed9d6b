"""The comparison of configs over seeds: whole runs, resumption, refusals, and what it writes."""

import csv
import json
import shutil

import numpy as np
import pytest

from adapt_jax import compare, train
from adapt_jax.config import diff as config_diff
from adapt_jax.core.errors import InputError
from adapt_jax.report import comparison
from adapt_jax.results import result_files, result_rows
from adapt_jax.runtime import cli, config_files
from tests import commands
from tests.e2e import small

CONFIGS = [str(small.ROOT / "configs" / f"digits_{name}.py") for name in ("supcon", "reweightood")]
SMALL = small.SMALL | {"total_steps": 4, "checkpoint_every": 4, "log_every": 2}
SET = [f"{key}={value}".replace(" ", "") for key, value in SMALL.items()]

pytestmark = pytest.mark.usefixtures("one_program")


def run(workdir, **changes):
    chosen = {"configs": CONFIGS, "seeds": [0, 1], "overrides": SET} | changes
    return compare.compare(chosen.pop("configs"), chosen.pop("seeds"), str(workdir), **chosen)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A comparison's folder and what it returned."""
    workdir = tmp_path_factory.mktemp("compare")
    return workdir, run(workdir)


@pytest.fixture
def trained(monkeypatch):
    """The folders that train.train is called for, which it then is."""
    calls, really = [], train.train

    def spy(config, workdir, **options):
        calls.append("/".join(workdir.split("/")[-2:]))
        return really(config, workdir, **options)

    monkeypatch.setattr(train, "train", spy)
    return calls


@pytest.fixture
def untouched(monkeypatch):
    def refuse(*arguments, **given):
        raise AssertionError("training started")

    monkeypatch.setattr(train, "train", refuse)


def test_rows_are_means_and_population_deviations_of_the_runs(finished):
    workdir, content = finished
    assert json.loads((workdir / "compare.json").read_text()) == json.loads(json.dumps(content))
    assert list(content["configs"]) == ["supcon", "reweightood"]
    assert content["seeds"] == [0, 1]
    by_hand = [result_files.read(workdir / "digits_supcon" / f"seed{n}")["rows"] for n in (0, 1)]
    rows = [r for r in content["rows"] if r["config"] == "supcon"]
    assert len(rows) == len(by_hand[0])
    for row, *runs in zip(rows, *by_hand):
        assert (row["method"], row["runs"]) == ("supcon", 2)
        for name in result_rows.METRICS:
            values = [r[name] for r in runs]
            assert row[name] == pytest.approx(np.mean(values), abs=1e-12)
            assert row[f"{name}_std"] == pytest.approx(np.std(values), abs=1e-12)
    assert any(row["auroc_std"] > 0 for row in rows)
    shas = {r["checkpoint_sha256"] for r in content["runs"]}
    assert len(shas) == 4


def test_the_files_say_the_same(finished):
    workdir, content = finished
    with (workdir / "compare.csv").open() as file:
        sheet = list(csv.DictReader(file))
    assert [r["config"] for r in sheet] == [r["config"] for r in content["rows"]]
    assert [float(r["auroc"]) for r in sheet] == [r["auroc"] for r in content["rows"]]
    text = (workdir / "compare.md").read_text()
    mean = next(r for r in content["rows"] if r["ood"] == "mean" and r["group"] == "far")
    cell = f"{100 * mean['auroc']:.2f} ± {100 * mean['auroc_std']:.2f}"
    assert f"| {mean['detector']} | far | supcon |" in text
    assert cell in text
    assert "OOD positive" in text
    assert "seeds 0, 1" in text
    assert [t.partition(",")[0] for t in content["ties"]] == ["near", "far"]
    for sentence in content["ties"]:
        assert "distinguishable at 5 %" in sentence
        assert "(over images and seeds; 6 pairs, Holm's correction)" in sentence
        assert f"- {sentence}\n" in text
    assert (workdir / "compare.png").read_bytes().startswith(b"\x89PNG")
    svg = (workdir / "compare.svg").read_text()
    for word in ("supcon", "reweightood", "near-OOD", "far-OOD", "mahalanobis", "knn?k=5"):
        assert f">{word}<" in svg


def test_finished_runs_are_skipped_and_new_ones_trained(finished, trained, capsys):
    workdir, content = finished
    again = run(workdir)
    assert trained == []
    assert again["rows"] == content["rows"]
    assert "run 3 of 4: supcon seed 1 is finished" in capsys.readouterr().out


def test_a_stopped_run_resumes_and_a_changed_evaluation_is_done_again(
    finished, trained, tmp_path, capsys
):
    workdir, content = finished
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    (tmp_path / "digits_supcon" / "seed1" / "results.json").unlink()  # stopped before its end
    again = run(tmp_path)
    assert trained == ["digits_supcon/seed1"]
    assert "run 3 of 4: supcon seed 1 in" in (shown := capsys.readouterr().out)
    assert "resuming at step 4 of 4" in shown
    assert again["rows"] == content["rows"]

    trained.clear()
    other = run(tmp_path, seeds=[0], overrides=[*SET, "detectors=knn?k=3"])
    assert trained == ["digits_supcon/seed0", "digits_reweightood/seed0"]
    assert {r["detector"] for r in other["rows"]} == {"knn?k=3"}
    assert "±" not in (tmp_path / "compare.md").read_text()  # one seed has no deviation


def test_results_of_a_stopped_run_do_not_count_as_finished(finished, tmp_path):
    workdir, _ = finished
    shutil.copytree(workdir / "digits_supcon" / "seed0", tmp_path, dirs_exist_ok=True)
    settings = cli.override(config_files.load_config(CONFIGS[0]), SET).to_dict()
    assert result_files.finished(tmp_path, settings)
    found = json.loads((tmp_path / "results.json").read_text())
    (tmp_path / "results.json").write_text(json.dumps(found | {"step": 2}))
    assert result_files.finished(tmp_path, settings) is None


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configs": []}, "--configs=A.py,B.py,... is needed"),
        ({"configs": ["configs/nope.py"]}, "configs/nope.py does not exist"),
        ({"configs": [CONFIGS[0], CONFIGS[0]]}, "two files called digits_supcon"),
        ({"seeds": []}, "--seeds takes different whole numbers"),
        ({"seeds": [0, 1, 0]}, "--seeds takes different whole numbers"),
        ({"overrides": ["epohcs=3"]}, "did you mean 'epochs'"),
        ({"overrides": ["epochs"]}, "--set 'epochs': write it as key=value"),
        ({"overrides": ["epochs=many"]}, "epochs=many"),
        (  # the second config's method has none
            {"overrides": ["method.params.base_temperature=0.1"]},
            "no field 'method.params.base_temperature'",
        ),
        ({"overrides": ["model.width=-1"]}, "section model: width"),
        ({"overrides": ["ood="]}, "needs OOD sets"),
        ({"overrides": ["detectors=nope"]}, "unknown detector 'nope'"),
        ({"overrides": ["batch_size=4096"]}, "batch_size 4096 is larger than the training set"),
        ({"overrides": ["test_data=folder:/nowhere"]}, "/nowhere"),
    ],
)
def test_a_mistake_stops_it_before_any_training(tmp_path, changes, message):
    with pytest.raises(InputError) as refusal:
        run(tmp_path / "runs", **changes)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("untouched")
def test_configs_that_differ_are_refused_by_field(finished, tmp_path):
    other = tmp_path / "digits_longer.py"
    other.write_text(
        "from adapt_jax.runtime.cli import load_config\n\n\n"
        f"def get_config():\n    config = load_config({CONFIGS[0]!r})\n"
        "    config.augment.hue = 0.2\n    config.optimizer.momentum = 0.8\n    return config\n"
    )
    with pytest.raises(InputError, match=r"share one recipe: augment.hue \(digits_supcon: 0.1, "):
        run(tmp_path / "runs", configs=[CONFIGS[0], str(other)])
    aligned = {"overrides": ["augment.hue=0.1", "image_size=0"]}
    with pytest.raises(InputError, match="image_size must be at least 1"):  # past that check
        run(tmp_path / "runs", configs=[CONFIGS[0], str(other)], **aligned)
    with pytest.raises(AssertionError, match="training started"):
        run(tmp_path / "runs", configs=[CONFIGS[0], str(other)], allow_different=True)


@pytest.mark.usefixtures("untouched")
def test_a_folder_of_another_comparison_is_refused(finished):
    workdir, _ = finished
    with pytest.raises(InputError, match="another config .optimizer.learning_rate: was 0.1"):
        run(workdir, overrides=[*SET, "optimizer.learning_rate=0.2"])


def test_the_command_line(finished):
    workdir, _ = finished
    command = ["adapt_jax.compare", f"--workdir={workdir}", f"--configs={','.join(CONFIGS)}"]
    changes = [f"--set={','.join(SET[:3])}", *(f"--set={text}" for text in SET[3:])]
    done = commands.run(*command, "--seeds=0,1", *changes)
    assert done.returncode == 0, done.stderr
    assert "run 4 of 4: reweightood seed 1 is finished" in done.stdout
    refused = commands.run(*command, "--seeds=0,x")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: --seeds takes different whole numbers from 0, for example 0,1,2; got 0,x\n"
    )


def test_overriding_leaves_the_original_alone():
    config = config_files.load_config(CONFIGS[0])
    changed = cli.override(config, ["total_steps=7,detectors=knn?k=3,mahalanobis", "mean=(0,0,1)"])
    assert (changed.total_steps, changed.detectors) == (7, "knn?k=3,mahalanobis")
    assert set(config_diff.differences(config.to_dict(), changed.to_dict())) == {
        "total_steps",
        "detectors",
        "mean",
    }
    assert config.total_steps is None


def test_a_config_without_some_detector_or_group_is_drawn_all_the_same(finished):
    _, content = finished
    rows = [r for r in content["rows"] if r["config"] == "supcon" or r["detector"] == "mahalanobis"]
    comparison.figure(content | {"rows": rows})
    assert len(comparison.table(content | {"rows": rows}).rows) == 6
