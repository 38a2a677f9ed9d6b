"""Outputs that another program made: what is read of them, and what is refused before any work."""

import json

import ml_dtypes
import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.evaluate import feature_files
from adapt_jax.evaluate.features import evaluate_features
from adapt_jax.metrics import ood_metrics

C, D = 3, 4
CENTRES = 5 * np.eye(C, D)


def outputs(count, seed, *, offset=0.0, ood=False):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % C
    rows = rng.normal(size=(count, D)) + (0 if ood else CENTRES[labels]) + offset
    logits = (rows - offset) @ CENTRES.T
    return {"features": rows, "logits": logits} | ({} if ood else {"labels": labels})


@pytest.fixture
def folder(tmp_path):
    """A folder of features; `save(name, **arrays)` replaces arrays of one file."""
    made = {"train": outputs(60, 0), "id": outputs(30, 1), "far/a": outputs(20, 2, ood=True)}

    def save(name, **arrays):
        path = tmp_path / "in" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **(made.get(name, {}) | arrays))
        return str(tmp_path / "in")

    for name in made:
        save(name)
    return save


@pytest.mark.parametrize(
    ("name", "arrays", "words"),
    [
        ("id", {"labels": np.arange(30) % C + 1}, "they seem to count from 1"),
        ("id", {"labels": np.arange(30) % C + 100}, "and no class 100, 101, 102"),
        ("id", {"labels": np.arange(30) % C + 2**32}, "4294967298 is no number"),
        ("id", {"labels": np.arange(30, dtype=np.uint64) % C + 2**63}, "9223372036854775810"),
        ("train", {"labels": np.arange(60) % (C + 1)}, "from 0 to 3, .* the classes 0 to 2"),
        ("val", outputs(9, 3) | {"labels": np.arange(9)}, "from 0 to 8"),
        ("shifted/b", outputs(9, 3) | {"labels": np.arange(9)}, "from 0 to 8"),
        ("far/a", {"labels": np.arange(20) + 2**31}, "no number of a class"),
        ("id", {"labels": np.arange(30) / 2}, "must be integers"),
        ("id", {"labels": np.arange(30) > 2}, "must be integers, got bool"),
        ("far/a", {"logits": np.ones((20, C + 1))}, "4 classes, those of train.npz 3"),
        ("id", {"features": np.full((30, D), np.nan)}, "30 of 30 rows of features hold NaN"),
        ("far/a", {"logits": np.r_[np.ones((19, C)), [[0, np.inf, 0]]]}, "the first is row 19"),
        ("head", {"kernel": np.full((D, C), np.nan), "bias": np.ones(C)}, "kernel or weight hold"),
        ("id", {"features": np.ones((30, D), complex)}, "real numbers, got complex128"),
        ("id", {"features": np.ones((30, D), bool)}, "real numbers, got bool"),
        ("id", {"features": np.full((30, D), "1")}, "real numbers, got <U1"),
        ("id", {"features": np.ones((30, D), "V3")}, "real numbers, got .V3"),
        ("id", {"features": np.ones((30, D), "M8[s]")}, "real numbers, got datetime"),
    ],
)  # fmt: skip
def test_arrays_that_are_wrong(folder, tmp_path, name, arrays, words):
    with pytest.raises(InputError, match=words):
        evaluate_features(folder(name, **arrays), str(tmp_path / "out"), full_spectrum="/" in name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name",
    ["tin/val", "tin/ood_val", "tin/train", "far/id", "far/mean", "far/head", "val/tin", "id/b"],
)
def test_names_that_mean_something_else(folder, name):
    with pytest.raises(InputError, match="has a meaning of its own"):
        feature_files.load(folder(name, **outputs(9, 3, ood=True)))


def test_files_that_nobody_would_read(folder):
    with pytest.raises(InputError, match=r"c\.npz: only GROUP/NAME\.npz are read"):
        feature_files.load(folder("far/b/c", **outputs(9, 3, ood=True)))


def test_labels_may_lack_a_class(folder, tmp_path):
    place = folder("id", labels=np.full(30, 2))
    found = evaluate_features(place, str(tmp_path / "out"), detectors="msp")
    predicted = outputs(30, 1)["logits"].argmax(axis=1)
    assert found["id_accuracy"] == np.mean(predicted == 2)
    header = json.loads((tmp_path / "out" / "results.json").read_text())
    assert header["label_rules"] == {
        "train": "labels by number, 3 of 3 classes",
        "id": "labels by number, 1 of 3 classes, no image of 0, 1",
    }


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32, np.int16])
def test_narrow_types_are_read_as_float32(folder, dtype):
    rows = outputs(30, 1)["features"].astype(dtype)
    found = feature_files.load(folder("id", features=rows)).sets["id"].outputs.features
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows.astype(np.float32))


@pytest.mark.parametrize("spec", ["mahalanobis?normalize=False", "knn?k=3&normalize=False", "ssd"])
def test_float64_features_keep_their_precision(folder, tmp_path, spec):
    """A common offset of 1e8 leaves float32 nothing of differences of size one."""
    sets = {"train": outputs(60, 0), "id": outputs(30, 1), "far/a": outputs(20, 2, ood=True)}
    found = {}
    for offset in (0.0, 1e8):
        for name, arrays in sets.items():
            place = folder(name, **arrays | {"features": arrays["features"] + offset})
        rows = evaluate_features(place, str(tmp_path / "out"), detectors=spec)["rows"]
        found[offset] = rows[0]["auroc"]
    if spec == "ssd":  # of directions, which an offset changes: in float64 outright
        assert found[1e8] == pytest.approx(_ssd_auroc(sets, 1e8), abs=0.02)
    else:
        assert found[1e8] == pytest.approx(found[0.0], abs=1e-3)


def _ssd_auroc(sets, offset):
    rows = {k: v["features"] + offset for k, v in sets.items()}
    unit = {k: v / np.linalg.norm(v, axis=1, keepdims=True) for k, v in rows.items()}
    centre = unit["train"].mean(axis=0)
    precision = np.linalg.pinv(np.cov(unit["train"].T, bias=True), rcond=1e-15, hermitian=True)
    scores = {
        k: -np.einsum("nd,de,ne->n", v - centre, precision, v - centre) for k, v in unit.items()
    }
    return ood_metrics(scores["id"], scores["far/a"])["auroc"]


def test_what_is_float32_stays_float32(folder):
    for name in ("train", "id", "far/a"):
        count = {"train": 60, "id": 30, "far/a": 20}[name]
        arrays = outputs(count, 0, ood=name == "far/a")
        place = folder(
            name, features=np.float32(arrays["features"]), logits=np.float32(arrays["logits"])
        )
    assert not feature_files.load(place).wide
    assert feature_files.load(folder("id")).wide
