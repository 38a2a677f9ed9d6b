"""The accelerator benchmark: its machinery, and some of its stages in tiny sizes."""

import json
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from adapt_jax import data
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import build
from adapt_jax.runtime import compilation, config_files, provenance, sharding
from benchmarks.accelerator import __main__ as command
from benchmarks.accelerator import (
    cases,
    checks,
    prepare,
    report,
    running,
    scoring,
    stages,
    training,
    turns,
)


@pytest.fixture
def job(tmp_path):
    return stages.Job(True, tmp_path, None, tmp_path / "notes.jsonl", tmp_path / "out")


@pytest.fixture
def no_peer(monkeypatch):
    """Whether PyTorch is here is none of these tests' business."""
    monkeypatch.setattr(turns.importlib.util, "find_spec", lambda name: None)


@pytest.fixture
def broken_peer(tmp_path, monkeypatch):
    """A PyTorch that is installed and cannot be imported."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/torch.py").write_text("raise OSError('libcudart.so is missing')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


def test_a_broken_peer_and_detector_leave_the_other_scores(job, broken_peer, monkeypatch):
    def too_large(*_):
        raise MemoryError("too large")

    monkeypatch.setattr(scoring, "_mahalanobis", too_large)
    with pytest.raises(RuntimeError, match="failed: Mahalanobis"):
        scoring.scoring(job)
    found = report.collect(job.notes)["scoring"]
    assert len(found) == 5
    assert found.pop("Mahalanobis") == {"failed": "MemoryError: too large"}
    assert all(values["images/s"] > 0 for values in found.values())
    knn = next(values for name, values in found.items() if name.startswith("kNN"))
    assert knn["PyTorch failed"] == "RuntimeError: PyTorch: OSError: libcudart.so is missing"


def test_mahalanobis_is_measured(job):
    scoring._mahalanobis(job, 64, 4, 8)
    (values,) = report.collect(job.notes)["scoring"].values()
    assert values["images/s"] > 0


def test_clip_is_measured(job, no_peer):
    scoring.clip(job)
    found = report.collect(job.notes)["scoring"]
    assert len(found) == 1
    assert all(values["images/s"] > 0 for values in found.values())


def test_a_training_step_is_measured(job, no_peer):
    training.speed(job, "adapt_resnet18")
    tables = report.collect(job.notes)
    found = tables["training"]["adapt_resnet18"]
    assert 0 < found["least"] <= found["ms a step"] <= found["most"]
    assert found["TFLOP a step"] > 0
    assert found["peak memory, GiB"] == ""  # CPUs do not say
    assert {"forward", "backward", "update"} <= set(tables["phases"]["adapt_resnet18"])
    assert tables["pytorch"]["adapt_resnet18"]["how"] == "PyTorch is not installed"


class Run:
    """A step that takes 2 s, from the cache."""

    def __init__(self):
        self.config = config_files.load_config(str(training.ROOT / "configs/cifar10_adapt.py"))
        self.case = training.Case("", 8, 2, steps=1, peer=True)
        self.program = jax.jit(lambda x: x @ x).lower(np.ones((4, 4), np.float32)).compile()
        self.timing = compilation.Timing(0.25, True)

    def seconds(self, count):
        return 2.0

    def more(self):
        return {}


class Peer:
    """PyTorch, which takes 6 s and breaks in the third round."""

    def __init__(self, task, arguments):
        self.facts, self.rounds = {"how": "eager"}, 0

    def wait(self):
        return self

    def seconds(self, count):
        self.rounds += 1
        if self.rounds == 3:
            raise RuntimeError("PyTorch: out of memory")
        return 6.0

    def close(self):
        pass


def test_a_broken_profiler_or_peer_leaves_what_was_measured(job, monkeypatch):
    def broken(folder):
        raise RuntimeError("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES")

    monkeypatch.setenv("ADAPT_JAX_PEAK_FLOPS", "640")
    monkeypatch.setattr(turns.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(turns, "Peer", Peer)
    monkeypatch.setattr(jax.profiler, "start_trace", broken)
    training._measure(job, "mine", Run(), 3)
    tables = report.collect(job.notes)
    found = tables["training"]["mine"]
    assert (found["ms a step"], found["TFLOP a step"], found["MFU, %"]) == (2000, 128e-12, 10)
    assert found["compiled in, s"] == "0.25 (from the cache)"
    assert tables["pytorch"]["mine"]["ratio of medians"] == 3
    assert "out of memory" in tables["pytorch"]["mine"]["PyTorch failed"]
    assert "CUPTI_ERROR" in tables["phases"]["mine"]["failed"]


def test_a_trace_without_operations_is_said(job, monkeypatch):
    for name in ("start_trace", "stop_trace"):
        monkeypatch.setattr(jax.profiler, name, lambda *_: None)
    page = {"ops": [], "phases": {}, "busy": 0.0}
    monkeypatch.setattr(training.summary, "write", lambda *_: page)
    found = training._phases(job, "mine", Run())
    assert found == {"failed": "the trace names no operation of the program"}


def test_a_step_from_files_is_measured(job):
    training.speed(job, "imagenet_resnet50_host")
    found = report.collect(job.notes)["training"]["imagenet_resnet50_host"]
    assert 0 < found["least"] <= found["ms a step"] <= found["most"]
    assert found["waiting for images, ms"] >= 0


def test_every_training_step_can_be_rehearsed():
    for case in training.CASES.values():
        config = config_files.load_config(str(training.ROOT / "configs" / case.config))
        config.model.pretrained = ""
        training._tiny(config)
        build.make_parts(
            config, mesh=sharding.make_mesh(), num_classes=4, num_images=64, mean_std=None
        )


def test_recorded_cases_are_noted_as_they_end(job, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr(cases, "_ran", {})
    monkeypatch.setattr(cases, "_wrong", {})

    def crash(command, env, **options):
        monkeypatch.setenv(cases.NOTES, env[cases.NOTES])
        for name, when, outcome in (
            ("a", "setup", "passed"),
            ("a", "call", "passed"),
            ("b", "call", "failed"),
            ("b", "teardown", "failed"),
            ("c", "setup", "passed"),
        ):
            cases.pytest_runtest_logreport(
                pytest.TestReport(
                    nodeid=f"tests/metrics/test_ood.py::{name}",
                    location=("", 0, ""),
                    keywords={},
                    outcome=outcome,
                    longrepr=None,
                    when=when,
                )
            )
        return subprocess.CompletedProcess(command, -11)

    monkeypatch.setattr(checks.subprocess, "run", crash)
    with pytest.raises(RuntimeError, match="pytest ended with -11 before all cases had run"):
        checks.recorded(job._replace(rehearse=False))
    rows = report.collect(job.notes)["right"]
    metrics = {"tests": 2, "failed": 1, "all ran": False, "which": "b"}
    assert rows["recorded cases: metrics"] == metrics
    assert rows["recorded cases: networks"] == {"tests": 0, "failed": 0, "all ran": False}
    assert len(rows) == len(cases.RECORDED)


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("FIRST; time.sleep(60)", ""),
        ("raise SystemExit(3)", "the run to be killed ended by itself, with 3"),
        ("os.kill(os.getpid(), 9)", "the run to be killed ended by itself, with -9"),
        ("LAST", "the run to be killed was over before"),
    ],
)
def test_only_a_run_that_was_killed_counts_as_killed(code, ended, tmp_path, monkeypatch):
    for word, step in (("FIRST", 4), ("LAST", 12)):
        saved = checks._saved(tmp_path, step)
        code = code.replace(word, f"os.makedirs({str(saved.parent)!r}); open({str(saved)!r}, 'w')")
    started = subprocess.Popen([sys.executable, "-c", f"import os, time; {code}"])
    monkeypatch.setattr(checks, "_start", lambda *arguments: started)
    assert checks._killed(tmp_path, "", True) == ended


def test_a_stage_that_fails_or_hangs_loses_nothing_else(tmp_path, monkeypatch, capsys):
    code = {
        "broken": "raise SystemExit('no such thing')",
        "crashed": "import os; os.kill(os.getpid(), 6)",
        "slow": "import time; time.sleep(60)",
        "fine": "",
    }
    monkeypatch.setattr(
        stages, "STAGES", {name: stages.Stage("", 0.25 if name == "slow" else 30) for name in code}
    )
    started = subprocess.Popen

    def popen(arguments, **options):
        name = arguments[-1].partition("=")[2]
        return started([sys.executable, "-c", code[name]], **options)

    monkeypatch.setattr(running.subprocess, "Popen", popen)
    assert command.main(["--rehearse", "--commit=12ab", f"--out={tmp_path}"]) == 1
    found = json.loads((tmp_path / "accelerator_unknown.json").read_text())["tables"]["stages"]
    assert found == {
        "broken": {"failed": "the process ended with 1: no such thing"},
        "crashed": {"failed": "the process ended with -6"},
        "slow": {"failed": "its time was over"},
    }
    assert "| slow | its time was over |" in capsys.readouterr().out
    assert command.main(["--rehearse", "--commit=12ab", f"--out={tmp_path}", "--minutes=0.01"]) == 1
    assert "no time was left" in capsys.readouterr().out
    assert command.main(["--rehearse", "--commit=12ab", f"--out={tmp_path}", "--stages=fine"]) == 0
    assert "* commit: 12ab" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["--stages=faster"])


def test_it_refuses_what_it_cannot_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(SystemExit):
        command.main([f"--out={tmp_path}"])
    assert "JAX finds no accelerator here, only the CPU" in capsys.readouterr().err
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        command.main([f"--out={tmp_path}/file"])
    assert "file: File exists; name a folder that can be written" in capsys.readouterr().err

    def hang(arguments, timeout, **options):
        raise subprocess.TimeoutExpired(arguments, timeout)

    monkeypatch.setattr(running.subprocess, "run", hang)
    monkeypatch.setattr(command.shutil, "which", lambda name: name)
    assert command._driver() == ""
    assert running.device(None) == ("", "it did not answer within a minute")


_ENDED = """
import subprocess, sys
from benchmarks.accelerator import __main__ as command, running, stages
stages.STAGES = {"slow": stages.Stage("", 60)}
started, code = subprocess.Popen, "import time; print('began', flush=True); time.sleep(60)"
running.subprocess.Popen = lambda arguments, **options: started(
    [sys.executable, "-c", code], **options
)
command.main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_stage_lives_on_when_the_command_is_ended(number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDED, "--rehearse", "--commit=12ab", f"--out={tmp_path}"],
        cwd=command.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout.readline() == b"began\n"
    process.send_signal(number)
    began = time.monotonic()
    assert process.stdout.read() == b""  # its end: nobody has it open any more
    assert time.monotonic() - began < 30
    assert process.wait() in (128 + number, -number)
    assert (tmp_path / "accelerator_unknown.md").exists()


def test_every_usual_stage_is_left_the_least_it_needs():
    groups = stages.grouped(command._usual())
    left = 7 * 60 - 15.0  # to look for the device
    for i, group in enumerate(groups):
        found = stages.limits(group, groups[i + 1 :], left)
        for name, seconds in found.items():
            assert stages.STAGES[name].least <= seconds <= stages.STAGES[name].seconds
        left -= max(found.values()) + 0.5  # all take as long as they may


def test_a_stage_may_use_what_the_later_ones_do_not_need(monkeypatch):
    known = {name: stages.Stage("", 100, 30) for name in "abc"}
    known |= {
        name: stages.Stage("", seconds, 20, "x") for name, seconds in {"d": 50, "e": 9}.items()
    }
    monkeypatch.setattr(stages, "STAGES", known)
    assert stages.grouped("adbec") == [["a"], ["d", "e"], ["b"], ["c"]]
    assert stages.limits("a", ["b", "c", "de"], 1000.0) == {"a": 100}
    assert stages.limits("a", ["b", "c", "de"], 1000.0, 4.0) == {"a": 400}
    assert stages.limits("a", ["b", "c", "de"], 150.0) == {"a": 150 - 30 - 30 - 20 - 3}
    assert stages.limits("a", ["b", "c", "de"], 90.0) == {"a": 30}
    assert stages.limits("a", ["b"], 25.0) == {"a": 25}
    assert stages.limits("de", [], 40.0) == {"d": 40, "e": 9}


def test_a_stage_says_why_it_failed(job, monkeypatch):
    monkeypatch.setitem(stages.STAGES, "nothing", stages.Stage("scoring:missing", 1))
    assert not stages.run("nothing", job)
    tables = report.collect(job.notes)
    assert "AttributeError" in tables["stages"]["nothing"]["failed"]
    assert tables["machine"]["machine"]["platform"] == "cpu"


def test_a_page_keeps_the_rows_of_stages_that_did_not_run_again(job, tmp_path):
    def noted(stage, rehearsal="", commit="abc", **rows):
        job.notes.unlink(missing_ok=True)
        job.note("machine", "machine", device="GPU 1", rehearsal=rehearsal, commit=commit)
        for row, value in rows.items():
            job._replace(stage=stage).note("scoring", row, speed=value)
        job.note("stages", stage, seconds=1.0)
        return report.collect(job.notes)

    def write(command, tables):
        page = report.write(tmp_path, tables, {"date": "today", "command": command})
        content = json.loads(page.with_suffix(".json").read_text())
        found = content["tables"]["scoring"]
        return page, {row: values["speed"] for row, values in found.items()}

    write("all", noted("scoring", knn=1, mahalanobis=2))
    for _ in range(2):  # pages are written after each stage
        page, rows = write("clip", noted("clip", tower=3))
        assert rows == {"knn": 1, "mahalanobis": 2, "tower": 3}
        assert "* joined with: all (today)\n" in page.read_text()
        assert "stage |" not in page.read_text()
    page, rows = write("again", noted("scoring", knn=4))
    assert rows == {"knn": 4, "tower": 3}
    assert "joined with: all (today); clip (today)\n" in page.read_text()
    rehearsal, rows = write("rehearse", noted("scoring", rehearsal="tiny", knn=5))
    assert rows == {"knn": 5}
    assert rehearsal.name == "accelerator_gpu_1_rehearsal.md"
    assert rehearsal.read_text().startswith("# GPU 1, rehearsal\n")
    assert "| knn | 4 |" in page.read_text()
    for commit in ("def", ""):  # of another one, and of one that is not known
        assert write("new", noted("clip", commit=commit, tower=6)) == (page, {"tower": 6})
        assert "joined" not in page.read_text()


def test_images_travel_in_parts_and_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "_packages", lambda site: site.mkdir(parents=True))
    monkeypatch.setattr(prepare, "PART", 60_000)
    monkeypatch.setattr(prepare, "_SHARD", 100)
    source = "digits:train?classes=0-2"
    folder = tmp_path / "ready"
    prepare.pack(folder, [f"digits={source}"])
    assert len(list(folder.glob("part*"))) > 1
    for part in folder.glob("part*"):
        assert sum(path.stat().st_size for path in part.rglob("*.npz")) <= 60_000
    files = prepare.unpack(folder, tmp_path / "unpacked")
    expected, found = data.load(source, 32), data.load(f"npz:{files['digits']}", 32)
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.class_names == expected.class_names
    with pytest.raises(InputError, match="not empty"):
        prepare.pack(folder, [])
    monkeypatch.setattr(provenance, "commit", lambda: "")
    assert running.commit(None) == ""
    (folder / "part1/commit").write_text("0123abc\n")
    assert running.commit(folder) == "0123abc, says the prepared folder"


def test_what_cannot_be_packed_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        prepare.subprocess, "run", lambda command: subprocess.CompletedProcess(command, 1)
    )
    folder = tmp_path / "new"
    for images, said in (
        ("digits", "write it as NAME=SOURCE"),
        (f"a=npz:{tmp_path}/none.npz", "none.npz"),
        ("a=digits:test?limit=2", "pip could not fetch"),
    ):
        assert command.main([f"--prepare={folder}", f"--images={images}"]) == 2
        assert said in capsys.readouterr().err
        assert not folder.exists()
    monkeypatch.setattr(prepare, "PART", 100)
    assert command.main([f"--prepare={folder}", "--images=a=digits:test?limit=2"]) == 2
    assert "a_0.npz (0 MiB): more than the 0 MiB of a part" in capsys.readouterr().err


def test_the_documentation_names_every_stage():
    page = (command.ROOT / "docs/profiling.md").read_text().partition("Without `--stages` run")[2]
    usual, named = page.partition("Only when named run")[::2]
    for name, stage in stages.STAGES.items():
        assert f"`{name}`" in (usual if stage.usual else named)


@pytest.mark.slow
def test_every_stage_in_tiny_sizes(tmp_path):
    names = ",".join(stages.STAGES)
    assert (
        command.main(["--rehearse", f"--stages={names}", "--minutes=20", f"--out={tmp_path}"]) == 0
    )
