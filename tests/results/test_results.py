"""Rows, means, files, aggregation and tables: by value, with the refusals."""

import csv
import io
import json
import re
import subprocess

import numpy as np
import pytest
from rich.console import Console

from adapt_jax.core.errors import InputError
from adapt_jax.metrics import COLUMNS, ood_metrics
from adapt_jax.results import aggregate, result_files, result_rows, tables
from adapt_jax.results.scores import load_scores, save_scores
from adapt_jax.runtime import provenance

ID = np.linspace(0.3, 1.0, 15)


def _row(detector="knn", ood="svhn", group="far", shift=0.0, m=10, **extra):
    return result_rows.row(detector, ood, group, ID, np.linspace(-1, 0.8, m) + shift, **extra)


def _header(**changes):
    fields = {"protocol": "p", "id": "c10", "seed": 1, "method": "adapt", "model": "r18"}
    return result_files.header(**{**fields, "checkpoint_sha256": "ab" * 32, **changes})


def _text(table, width=200):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_row_is_names_then_every_metric():
    row = _row(batch_size=64)
    assert list(row) == ["detector", "ood", "group", "batch_size", *(n for n, _ in COLUMNS)]
    assert row["auroc"] == ood_metrics(ID, np.linspace(-1, 0.8, 10))["auroc"]


def test_mean_rows_count_every_set_once():
    rows = [
        _row(ood="a", m=4, stream=1, order=1),
        _row(ood="b", m=400, shift=0.2, stream=1, order=2),
        _row(ood="c", group="near"),
        _row(detector="msp", ood="a"),
    ]
    means = result_rows.mean_rows(rows)
    assert [(r["detector"], r["group"], r["ood"]) for r in means] == [
        ("knn", "far", "mean"),
        ("knn", "near", "mean"),
        ("msp", "far", "mean"),
    ]
    for name in result_rows.METRICS:
        assert means[0][name] == pytest.approx((rows[0][name] + rows[1][name]) / 2, abs=1e-15)
    assert (means[0]["n_id"], means[0]["n_ood"]) == (15, 404)
    assert means[0]["stream"] == 1
    assert "order" not in means[0]
    assert result_rows.mean_rows(rows + means) == means
    with pytest.raises(InputError, match=r"different n_id \(a: 15, b: 14\)"):
        result_rows.mean_rows([rows[0], rows[1] | {"n_id": 14}])


def test_written_files_read_back(tmp_path):
    workdir = tmp_path / "new" / "run"
    rows = [_row(ood='sé,t"', extra=3), _row(ood="b")]
    rows += result_rows.mean_rows(rows)
    content = result_files.write(workdir, _header(), rows)
    assert content == result_files.read(workdir)
    assert content["rows"] == rows
    assert content["protocol"] == "p"
    assert {"jax", "jaxlib", "flax", "adapt_jax", "python", "device"} <= set(content["versions"])
    with (workdir / "results.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [r["ood"] for r in table] == ['sé,t"', "b", "mean"]
    assert float(table[1]["auroc"]) == rows[1]["auroc"]
    assert (table[0]["seed"], table[0]["extra"], table[1]["extra"]) == ("1", "3", "")
    assert sorted(p.name for p in workdir.iterdir()) == ["results.csv", "results.json"]


def test_a_failed_write_leaves_the_old_results(tmp_path, monkeypatch):
    result_files.write(tmp_path, _header(), [_row()])
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(InputError, match="cannot be written as JSON"):
        result_files.write(tmp_path, _header(), [_row() | {"auroc": float("nan")}])
    with pytest.raises(InputError, match="header lacks versions, commit"):
        result_files.write(
            tmp_path, {k: 0 for k in _header() if k not in ("versions", "commit")}, []
        )
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        result_files.write(tmp_path, _header(seed=2), [_row()])
    assert (tmp_path / "results.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_read_refuses_what_it_did_not_write(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        result_files.read(tmp_path)
    for text, message in [("{", "not valid JSON"), ("[]", "a list"), ('{"rows": 1}', "no field")]:
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(InputError, match=message):
            result_files.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"auroc": float("nan")}, "row 0: auroc must lie in [0, 1], got nan"),
        ({"fpr95": 12.5}, "row 0: fpr95 must lie in [0, 1], got 12.5"),
        ({"aupr_in": "0.5"}, "aupr_in must lie in"),
        ({"auroc_low": -0.1}, "auroc_low"),
        ({"n_ood": 0}, "n_ood must be a positive integer"),
        ({"ood": None}, "ood of row 0 is None"),
    ],
)
def test_read_refuses_what_no_result_can_be(tmp_path, change, word):
    result_files.write(tmp_path, _header(), [_row()])
    found = json.loads((tmp_path / "results.json").read_text())
    found["rows"][0] |= change
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=re.escape(word)):
        result_files.read(tmp_path)


def test_read_refuses_a_head_that_no_result_can_have(tmp_path):
    for change, word in (
        ({"id_accuracy": 12.5}, "id_accuracy"),
        ({"seed": ...}, "no field 'seed'"),
    ):
        result_files.write(tmp_path, _header(), [_row()])
        found = json.loads((tmp_path / "results.json").read_text()) | change
        found = {k: v for k, v in found.items() if v is not ...}
        (tmp_path / "results.json").write_text(json.dumps(found))
        with pytest.raises(InputError, match=word):
            result_files.read(tmp_path)


def test_aggregate_is_mean_and_population_deviation():
    runs = []
    for seed, shift in enumerate([0.0, 0.1, 0.3]):
        rows = [_row(shift=shift, order=seed, batch=8), _row(ood="b", shift=-shift)]
        runs.append(_header(seed=seed) | {"rows": rows + result_rows.mean_rows(rows)})
    rows = aggregate.aggregate(runs)
    assert [r["ood"] for r in rows] == ["svhn", "b", "mean"]
    values = [r["rows"][0]["auroc"] for r in runs]
    assert rows[0]["auroc"] == pytest.approx(np.mean(values), abs=1e-15)
    assert rows[0]["auroc_std"] == pytest.approx(np.std(values), abs=1e-15)
    assert rows[0]["runs"] == 3
    assert rows[0]["batch"] == 8
    assert "order" not in rows[0]
    assert " ± " in _text(tables.table(rows))
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize("key", ["protocol", "id", "method", "model"])
def test_aggregate_names_what_differs(key):
    runs = [_header() | {"rows": [_row()]}, _header(seed=2, **{key: "other"}) | {"rows": [_row()]}]
    with pytest.raises(InputError, match=rf"differ in {key} \(\w+ and other\)"):
        aggregate.aggregate(runs)


def test_aggregate_refuses_other_mixtures():
    one, two = (_header(seed=s) | {"rows": [_row()]} for s in (1, 2))
    with pytest.raises(InputError, match="no results"):
        aggregate.aggregate([])
    with pytest.raises(InputError, match="seed 1 is given 2 times"):
        aggregate.aggregate([one, one])
    with pytest.raises(InputError, match=r"seeds 1 and 2 .*set 'extra' \(far, 15 ID, 10 OOD\)"):
        aggregate.aggregate([one, two | {"rows": [_row(), _row(ood="extra")]}])
    with pytest.raises(InputError, match="10 OOD|7 OOD"):
        aggregate.aggregate([one, two | {"rows": [_row(m=7)]}])


def test_degenerate_scores_are_refused_by_name():
    with pytest.raises(InputError, match="detector 'knn' on set 'svhn': 1 of 2 scores are NaN"):
        result_rows.row("knn", "svhn", "far", ID, [0.0, np.nan])
    with pytest.raises(InputError, match="on set 'id': all 4 scores are 2; a constant"):
        result_rows.row("knn", "svhn", "far", np.full(4, 2.0), [0.0, 1.0])
    with pytest.raises(InputError, match=r"on set 'svhn': expected scores .* got \(0,\)"):
        result_rows.row("knn", "svhn", "far", ID, [])
    with pytest.raises(InputError, match="cannot be called"):
        result_rows.row("knn", "mean", "far", ID, [0.0, 1.0])
    assert result_rows.check_scores([1.0], "knn", "one image").shape == (1,)


def test_score_files(tmp_path):
    path = tmp_path / "scores" / "knn" / "svhn.npz"
    save_scores(path, [1.5, 2.5], ["a.png", "日本/é.png"], labels=[3, 4])
    got = load_scores(path)
    assert got.scores.dtype == np.float32
    assert got.scores.tolist() == [1.5, 2.5]
    assert got.names.tolist() == ["a.png", "日本/é.png"]
    assert got.labels.tolist() == [3, 4]
    with np.load(path, allow_pickle=False) as file:
        assert file["names"].shape == (2,)
    save_scores(path, np.zeros(2), ["a", "b"])
    assert load_scores(path).labels is None
    with pytest.raises(InputError, match="one score and one name"):
        save_scores(path, [1.0], ["a", "b"])
    with pytest.raises(InputError, match="does not exist"):
        load_scores(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    np.save(tmp_path / "array.npy", np.zeros(2))
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:90])
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("other.npz", "array.npy", "cut.npz", "empty.npz"):
        with pytest.raises(InputError, match="is not a file of scores"):
            load_scores(tmp_path / name)


def test_tables_name_the_convention_and_escape_names():
    rows = [_row(ood="[red]x[/]|y"), _row(ood="b")]
    rows += result_rows.mean_rows(rows)
    text = _text(tables.table(rows, title="protocol [p]"))
    assert "protocol [p]" in text
    assert "[red]x[/]|y" in text
    assert "FPR95 (OOD+): " in text
    assert "FPR95 (ID+, nearest): ID positive, at the ID recall nearest to 95 %" in text
    assert "OOD positive" in text
    assert f"{100 * rows[0]['auroc']:.2f}" in text
    lines = tables.markdown(rows, columns=("fpr95", "auroc")).splitlines()
    assert lines[0] == "| detector | OOD set | group | FPR95 (OOD+) | AUROC |"
    assert lines[2].startswith("| knn | [red]x[/]\\|y | far |")
    assert lines[4].startswith("| **knn** | **mean** |")


def test_the_best_is_marked_where_rows_compare():
    rows = [_row(), _row("other", shift=0.3), _row(ood="b")]
    shown = _text(tables.table(rows, ("auroc", "fpr95")))
    best = max(rows[:2], key=lambda row: row["auroc"])
    assert shown.count("*") == 3 + (rows[0]["fpr95"] == rows[1]["fpr95"])
    assert f"* {100 * best['auroc']:.2f}" in shown
    assert "*" not in _text(tables.table(rows[1:], ("auroc",)))


@pytest.mark.parametrize("width", [30, 44, 80, 100])
def test_a_narrow_console_loses_columns_and_no_digits(width):
    rows = [_row(ood="a_set_with_a_long_name"), _row("knn?k=300", ood="b")]
    rows += [_row(ood="b", shift=0.1)]
    shown = _text(tables.table(rows), width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for row in rows:
        assert f"{100 * row['auroc']:.2f}" in shown
    assert ("too narrow" in shown) == (width < 100)


def test_a_group_of_one_set_shows_no_mean():
    rows = [_row(ood="a", group="near"), _row(ood="b"), _row(ood="c", shift=0.1)]
    rows = [r for mean in result_rows.mean_rows(rows) for r in
            [*(r for r in rows if r["group"] == mean["group"]), mean]]  # fmt: skip
    shown = [line.split("|")[2].strip() for line in tables.markdown(rows).splitlines()[2:6]]
    assert shown == ["a", "b", "c", "**mean**"]
    assert _text(tables.table(rows)).count("mean") == 1
    assert tables.latex(rows).count(r"\midrule") == 2  # below the head, and between the groups
    means = [r for r in rows if r["ood"] == "mean"]
    assert len(tables.without_single_means(means)) == 2


def test_intervals_are_shown_where_they_were_computed():
    rows = [_row() | {"auroc_low": 0.5, "auroc_high": 0.75}, _row(ood="b")]
    cell = f"{100 * rows[0]['auroc']:.2f} [50.00, 75.00]"
    for shown in (_text(tables.table(rows, ("auroc",))), tables.markdown(rows, ("auroc",))):
        assert cell in shown
        assert "95 % bootstrap interval over test images" in " ".join(shown.split())
    assert cell in tables.latex(rows, ("auroc",))
    assert "bootstrap" not in tables.markdown(rows, ("fpr95",))
    one = _header() | {"rows": rows}
    assert aggregate.aggregate([one])[0]["auroc_low"] == 0.5
    both = aggregate.aggregate([one, _header(seed=2) | {"rows": rows}])
    assert "auroc_low" not in both[0]


def test_commit_is_the_packages_own(tmp_path, monkeypatch):
    root = tmp_path / "repo"
    package = root / "env" / "adapt_jax"
    package.mkdir(parents=True)
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout

    def commit_of(folder):
        monkeypatch.setattr(provenance, "PACKAGE", folder)
        provenance.commit.cache_clear()
        return provenance.commit()

    assert commit_of(root / "adapt_jax") == head.strip()
    assert commit_of(package) == ""  # an environment inside somebody's repository
    assert commit_of(tmp_path / "nowhere" / "adapt_jax") == ""
    provenance.commit.cache_clear()
