"""One class as ID, the others as OOD: which images, which runs, which table."""

import csv
import json

import numpy as np
import pytest

from adapt_jax import compare, train
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import one_class_splits
from adapt_jax.results import result_files, result_rows
from tests.e2e import small

CONFIGS = [str(small.ROOT / "configs/digits_ccl.py")]
SMALL = small.SMALL | {
    "total_steps": 2, "checkpoint_every": 2, "log_every": 2, "batch_size": 32,
    "method.params.num_clusters": 2, "detectors": "ssd,knn?k=5",
}  # fmt: skip
SET = [f"{key}={value}".replace(" ", "") for key, value in SMALL.items()]
SET += ["train_data=digits:train", "test_data=digits:test"]


def test_the_splits_of_a_set():
    splits = one_class_splits.make("digits:train", "digits:test", 8)
    assert [s.label for s in splits] == list("0123456789")
    assert splits[3].train_data == "digits:train?classes=3"
    assert splits[3].test_data == "digits:test?classes=3"
    assert splits[3].ood == "one_class/other_classes=digits:test?classes=0+1+2+4+5+6+7+8+9"
    (both,) = one_class_splits.make("digits:train", "digits:test?limit=500", 8, ["7+2"])
    assert both.test_data == "digits:test?limit=500&classes=2+7"


@pytest.mark.parametrize(
    ("classes", "why"),
    [(["x"], "takes all, or classes such as"), (["10"], "has the classes 0 to 9")],
)
def test_wrong_classes_are_refused(classes, why):
    with pytest.raises(InputError, match=why):
        one_class_splits.make("digits:train", "digits:test", 8, classes)
    with pytest.raises(InputError, match="selects classes already"):
        one_class_splits.make("digits:train?classes=0-5", "digits:test", 8)


def test_methods_that_learn_from_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match="digits_palm learns from labels"):
        compare.one_class([str(small.ROOT / "configs/digits_palm.py")], (), [0], str(tmp_path))


@pytest.fixture
def trained(monkeypatch):
    """The runs that were asked for; each gets scores that depend on its class and seed."""
    calls = []

    def pretend(config, workdir, **_):
        calls.append("/".join(workdir.split("/")[-3:]))
        own = int(config.train_data.partition("classes=")[2])
        shift, rng = 1 + own / 4 + config.seed / 8, np.random.default_rng(0)
        rows = [
            result_rows.row(
                d, "other_classes", "one_class", rng.normal(shift, 1, 99), rng.normal(size=99)
            )
            for d in ("ssd", "knn?k=5")
        ]
        facts = {"protocol": config.ood, "id": config.test_data, "seed": config.seed}
        header = result_files.header(**facts, method="ccl", model="r", checkpoint_sha256=workdir)
        header |= {"config": config.to_dict(), "step": 2, "total_steps": 2}
        return result_files.write(workdir, header, [*rows, *result_rows.mean_rows(rows)])

    monkeypatch.setattr(train, "train", pretend)
    return calls


def test_one_table_with_the_mean_over_the_classes(tmp_path, trained):
    content = compare.one_class(CONFIGS, ["1", "4"], [0, 1], str(tmp_path), overrides=SET)
    runs = [f"digits_ccl/class{c}/seed{s}" for c in (1, 4) for s in (0, 1)]
    assert trained == runs
    auroc = np.array([result_files.read(tmp_path / run)["rows"][0]["auroc"] for run in runs])
    auroc = auroc.reshape(2, 2)  # class, seed
    ssd = [r for r in content["rows"] if r["detector"] == "ssd"]
    assert [r["class"] for r in ssd] == ["1", "4", "mean"]
    assert [r["auroc"] for r in ssd] == pytest.approx([*auroc.mean(1), auroc.mean()])
    assert [r["auroc_std"] for r in ssd] == pytest.approx([*auroc.std(1), auroc.mean(0).std()])
    assert json.loads((tmp_path / "one_class.json").read_text())["rows"] == content["rows"]
    with (tmp_path / "one_class.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    cell = f"{100 * auroc.mean():.2f} ± {100 * auroc.mean(0).std():.2f}"
    assert f"| **mean** | **{cell}** |" in (tmp_path / "one_class.md").read_text()

    trained.clear()
    again = compare.one_class(CONFIGS, ["1", "4"], [0, 1], str(tmp_path), overrides=SET)
    assert (trained, again["rows"]) == ([], content["rows"])
