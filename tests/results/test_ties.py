"""Sentences about rows that do not differ, from score files and in merged tables."""

import numpy as np
import pytest

from adapt_jax.results import merge, result_files, result_rows, ties
from adapt_jax.results.scores import save_scores

GROUPS = {"a": "near", "b": "far", "c": "far"}


@pytest.fixture(scope="module")
def scores():
    """A detector that is worse than two alike ones, of two methods with three seeds each."""
    rng = np.random.default_rng(0)
    images = {name: rng.normal(size=120) for name in ("id", *GROUPS)}
    shifts = {("x", "knn"): 3.0, ("x", "msp"): 1.0, ("y", "knn"): 3.0}

    def run(shift):
        noise = {name: 0.5 * rng.normal(size=120) for name in images}
        return {n: v + noise[n] + shift * (n == "id") for n, v in images.items()}

    return {name: [run(shift) for _ in range(3)] for name, shift in shifts.items()}


@pytest.fixture
def runs(scores, tmp_path):
    """The same as run folders, by method."""
    folders = {}
    for (method, detector), by_seed in scores.items():
        for seed, by_set in enumerate(by_seed):
            folder = tmp_path / method / f"seed{seed}"
            folders.setdefault(method, {})[folder] = None
            for name, values in by_set.items():
                path = folder / "scores" / detector / f"{name}.npz"
                save_scores(path, values, [f"{name}{i}" for i in range(120)])
    for method, of in folders.items():
        for seed, folder in enumerate(of):
            rows = [
                result_rows.row(d, s, group, by_seed[seed]["id"], by_seed[seed][s])
                for (m, d), by_seed in scores.items()
                for s, group in GROUPS.items()
                if m == method
            ]
            facts = {"protocol": "p", "id": "i", "method": method, "model": "n"}
            header = result_files.header(**facts, seed=seed, checkpoint_sha256=f"{method}{seed}")
            result_files.write(folder, header, rows + result_rows.mean_rows(rows))
    return {method: list(of) for method, of in folders.items()}


def test_ties_are_found_in_every_group(scores):
    for metric in ("auroc", "fpr95"):
        found = ties.find(scores, GROUPS, metric)
        assert [t.group for t in found] == ["near", "far"]
        for t in found:
            assert [set(tie) for tie in t.tied] == [{"x / knn", "y / knn"}]
            assert (t.comparisons, t.over) == (3, "images and seeds")


def test_one_run_each_is_about_images_only(scores):
    single = {name: by_seed[:1] for name, by_seed in scores.items()}
    assert {t.over for t in ties.find(single, GROUPS)} == {"images"}


def test_sentences_say_it_in_so_many_words():
    tied = ties.Ties("auroc", "near", [("a", "b"), ("b", "c")], 3, "images")
    apart = ties.Ties("fpr95", "far", [], 1, "images and seeds")
    assert ties.sentences([tied, apart]) == [
        "near, AUROC: not distinguishable at 5 %: a = b; b = c "
        "(over images; 3 pairs, Holm's correction)",
        "far, FPR95 (OOD+): every difference is distinguishable at 5 % "
        "(over images and seeds; one pair)",
    ]


def test_detectors_without_shared_id_scores_are_left_out(scores):
    stream = {k: v for k, v in scores["x", "knn"][0].items() if k != "id"}
    found = ties.find({**scores, ("z", "adaneg"): [stream]}, GROUPS)
    assert [t.comparisons for t in found] == [3, 3]


def test_merged_tables_say_which_rows_tie(runs, scores):
    folders = [f"{method}={folder}" for method, of in runs.items() for folder in of]
    expected = ties.sentences(ties.find(scores, GROUPS))
    assert merge.ties_between(folders) == expected
    rows = merge.merge(folders)
    for kind, mark in (("markdown", "- "), ("latex", "% ")):
        table = merge.text(rows, kind, notes=expected)
        assert all(f"{mark}{sentence}\n" in table for sentence in expected)


def test_other_images_and_missing_scores_are_named(runs):
    folder = runs["y"][1] / "scores" / "knn"
    save_scores(folder / "b.npz", np.arange(120), [f"other{i}" for i in range(120)])
    rows = result_files.read(runs["x"][0])["rows"]
    (line,) = ties.of_runs(runs, rows)
    assert line.startswith("differences were not tested: the images of set b in ")
    (line,) = ties.of_runs({"x": [folder]}, rows)
    assert line == "differences were not tested: the folders of the runs hold no scores"
    (folder / "id.npz").unlink()  # as of a detector that adapts to a stream
    *tested, line = ties.of_runs(runs, rows)
    assert line.endswith(
        "depend on the other images of the stream, which the tests take as independent: knn"
    )
    assert [t.rpartition("(")[2] for t in tested] == ["over images and seeds; one pair)"] * 2


def test_shifted_images_join_the_id_side(runs, scores):
    """Here they separate the two detectors that tie without them."""
    names = [str(i) for i in range(50)]
    for (method, detector), shift in zip(scores, (9, -9, -9)):
        for folder in runs[method]:
            path = folder / "scores" / detector / "blurred.npz"
            save_scores(path, shift + np.linspace(0, 1, 50), names)
    lines = ties.of_runs(runs, result_files.read(runs["x"][0])["rows"])
    assert len(lines) == 2
    assert not any("x / knn =" in line or "= x / knn" in line for line in lines)
