"""Where scalars go: W&B only if asked for and installed, its run continued; signs of life."""

import importlib.util
import json
import time

import pytest
from rich.console import Console

from adapt_jax.core.errors import InputError
from adapt_jax.workdir import logbook, trackers
from tests.e2e import small

RESULTS = {
    "step": 4,
    "id_accuracy": 0.75,
    "seed": 1,
    "rows": [
        {"detector": "knn", "ood": "x", "group": "near", "auroc": 0.1, "fpr95": 0.2},
        {"detector": "knn", "ood": "mean", "group": "near", "auroc": 0.9, "fpr95": 0.3},
    ],
}


def test_tracking_is_checked_before_training(tmp_path, monkeypatch):
    with pytest.raises(InputError, match='tracking is "" or "wandb", got \'mlflow\''):
        trackers.check("mlflow")
    (tmp_path / "wandb").mkdir()  # what W&B leaves behind, which Python would take for a package
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    if importlib.util.find_spec("wandb").origin is None:
        with pytest.raises(InputError, match="pip install wandb"):
            trackers.check("wandb")


def test_headlines_are_means_of_groups():
    assert trackers.headlines(RESULTS) == {
        "results/knn/near/auroc": 0.9,
        "results/knn/near/fpr95": 0.3,
        "results/id_accuracy": 0.75,
    }


def test_tensorboard_gets_scalars_and_results(tmp_path):
    book = logbook.Logbook(
        tmp_path,
        total_steps=4,
        start=0,
        console=Console(quiet=True),
        trackers=trackers.open_all("", {}, tmp_path, 0),
    )
    book.record(4, {"loss": 0.5})
    book.close()
    results = RESULTS | {"config": {"tracking": ""}}
    trackers.summarise(tmp_path, results, print)
    content = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    for name in (b"loss", b"results/knn/near/auroc", b"results/id_accuracy"):
        assert name in content
    assert logbook.read(tmp_path)[0]["loss"] == 0.5


def test_wandb_continues_its_run(tmp_path, monkeypatch):
    """The real package, offline; only where it is installed."""
    wandb = pytest.importorskip("wandb", reason="pip install wandb")
    if not hasattr(wandb, "init"):
        pytest.skip("a folder called wandb is not W&B")
    for name in ("WANDB_RUN_ID", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = small.config(tracking="wandb").to_dict()
    for start in (0, 4):
        book = logbook.Logbook(
            tmp_path,
            total_steps=8,
            start=start,
            console=Console(quiet=True),
            trackers=trackers.open_all("wandb", config, tmp_path, start),
        )
        book.record(start + 4, {"loss": 0.5})
        book.close()
        time.sleep(1.1)  # W&B names folders of offline runs by the second
    trackers.summarise(tmp_path, RESULTS | {"config": config}, print)
    wandb.teardown()  # as at the end of a process: waits for its files
    known = json.loads((tmp_path / "wandb.json").read_text())["id"]
    written = list((tmp_path / "wandb").glob(f"offline-run-*-{known}"))
    assert len(written) == 3
    content = b"".join(p.read_bytes() for d in written for p in d.glob("*.wandb"))
    for name in (b"loss", b"results/knn/near/auroc", b"proto_momentum"):
        assert name in content
    assert (tmp_path / "tensorboard").is_dir()


def test_a_quiet_run_gives_signs_of_life(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(logbook.time, "monotonic", lambda: clock[0])
    console = Console(record=True, width=120, force_terminal=False)
    book = logbook.Logbook(tmp_path, total_steps=97_000, start=0, console=console)
    for step, later in ((40, 50.0), (80, 14.0), (120, 30.0), (160, 31.0)):
        clock[0] += later
        book.alive(step)
    book.record(200, {"loss": 1.0})
    clock[0] += 59
    book.alive(240)
    book.close()
    said = [line.split(" ", 1) for line in console.export_text().splitlines()]
    assert all(len(clock_) == 8 and clock_[2] == ":" for clock_, _ in said)
    assert [text.split(" epoch")[0] for _, text in said] == [
        "step 80/97000, 64 s since the last record",
        "step 160/97000, 125 s since the last record",
        "step 200/97000",
    ]


def test_dispatches_get_as_long_as_can_be_waited_for(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(logbook.time, "monotonic", lambda: clock[0])
    pace = logbook.Pace()
    assert pace.steps(0) == 1
    clock[0] = 5.0  # the step took 5 s
    assert pace.steps(1) == 3
    clock[0] = 5.003  # three steps took 3 ms
    assert pace.steps(4) == pytest.approx(15_000, abs=1)
    clock[0] = 1000.0
    assert pace.steps(5) == 1
