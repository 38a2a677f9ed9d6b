"""Tables in the forms that others publish, by text."""

import pathlib

import numpy as np
import pytest

from adapt_jax import metrics
from adapt_jax.core.errors import InputError
from adapt_jax.results import merge, published
from adapt_jax.results.tables import MEAN


def row(run, detector, group, ood, fpr95, auroc, **extra):
    names = {"run": run, "protocol": "openood_cifar10", "detector": detector}
    values = {"fpr95": fpr95, "auroc": auroc, "aupr_in": 0.9, "aupr_out": 0.8}
    return names | {"group": group, "ood": ood} | values | extra


PAPER = [
    row("a_b", "knn", "near", "tin", 0.30, 0.90),
    row("a_b", "knn", "near", MEAN, 0.30, 0.90),
    row("a_b", "knn", "far", "svhn", 0.1000, 0.95),
    row("a_b", "knn", "far", "mnist", 0.20, 0.85),
    row("a_b", "knn", "far", MEAN, 0.15, 0.90),
    row("c", "knn", "near", "tin", 0.40, 0.80, auroc_std=0.012),
    row("c", "knn", "far", "svhn", 0.100001, 0.90),
    row("c", "knn", "far", MEAN, 0.20, 0.89),
    row("d", "knn", "near", "tin", 0.50, 0.70),
    row("d", "knn", "far", "svhn", 0.30, 0.95),
    row("d", "knn", "far", "mnist", 0.10, 0.99),
]


def test_a_papers_table_marks_the_best_and_the_second():
    lines = published.paper(PAPER).splitlines()
    assert lines[:2] == [
        r"% AUROC: area under the ROC curve; ties count one half",
        r"% FPR95 (OOD+): OOD positive: share of ID images rejected along with 95 \% of OOD images",
    ]
    assert lines[2:] == [
        r"\begin{tabular}{lrrrrrrrr}",
        r"\toprule",
        r" & \multicolumn{2}{c}{tin} & \multicolumn{2}{c}{svhn} & \multicolumn{2}{c}{mnist} & "
        r"\multicolumn{2}{c}{far mean} \\",
        r"\cmidrule(lr){2-3}\cmidrule(lr){4-5}\cmidrule(lr){6-7}\cmidrule(lr){8-9}",
        "method" + r" & FPR95 $\downarrow$ & AUROC $\uparrow$" * 4 + r" \\",
        r"\midrule",
        r"a\_b & \textbf{30.00} & \textbf{90.00} & \textbf{10.00} & \textbf{95.00} & "
        r"\underline{20.00} & \underline{85.00} & \textbf{15.00} & \textbf{90.00} \\",
        r"c & \underline{40.00} & \underline{80.00}$_{\pm 1.20}$ & \textbf{10.00} & "
        r"\underline{90.00} & -- & -- & \underline{20.00} & \underline{89.00} \\",
        r"d & 50.00 & 70.00 & \underline{30.00} & \textbf{95.00} & \textbf{10.00} & "
        r"\textbf{99.00} & -- & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_one_method_has_no_best_and_detectors_are_named_where_they_differ():
    one = published.paper(PAPER[:5])
    assert "textbf" not in one
    assert r"\multicolumn{2}{c}{far mean}" in one
    both = published.paper([*PAPER, row("d", "msp", "near", "tin", 0.6, 0.6)], ("auroc",))
    assert r"method & detector & AUROC $\uparrow$" in both
    assert r"d & msp & 60.00 & -- & -- & -- \\" in both


@pytest.fixture
def openood_rows():
    spread = {f"{name}_std": 0.00125 for name in ("fpr95", "auroc", "aupr_in", "aupr_out")}
    facts = spread | {"accuracy": 0.9506, "accuracy_std": 0.003}
    return [
        row("r", "knn", "far", "textures", 0.25, 0.931, **facts),
        row("r", "knn", "far", "mnist", 0.2, 0.94, **facts),
        row("r", "knn", "far", MEAN, 0.225, 0.9355, **facts),
        row("r", "knn", "near", "cifar100", 0.3, 0.9, **facts),
        row("r", "knn", "near", MEAN, 0.3, 0.9, **facts),
    ]


def test_the_csv_of_openood(openood_rows):
    """As pandas writes the frame of scripts/eval_ood.py."""
    rest = "90.00 ± 0.12,80.00 ± 0.12,95.06 ± 0.30\n"
    assert published.openood(openood_rows) == (
        ",FPR@95,AUROC,AUPR_IN,AUPR_OUT,ACC\n"
        f"cifar100,30.00 ± 0.12,90.00 ± 0.12,{rest}"
        f"nearood,30.00 ± 0.12,90.00 ± 0.12,{rest}"
        f"texture,25.00 ± 0.12,93.10 ± 0.12,{rest}"
        f"mnist,20.00 ± 0.12,94.00 ± 0.12,{rest}"
        f"farood,22.50 ± 0.12,93.55 ± 0.12,{rest}"
    )


def test_a_single_run_has_no_deviation(openood_rows):
    single = [{k: v for k, v in r.items() if not k.endswith("_std")} for r in openood_rows]
    assert published.openood(single).splitlines()[1] == "cifar100,30.00,90.00,90.00,80.00,95.06"
    kept = [r | {"protocol": "openood_imagenet"} for r in single]
    assert "\ntextures,25.00" in published.openood(kept)


def test_what_the_leaderboard_cannot_take(openood_rows):
    other = openood_rows[0] | {"detector": "msp"}
    with pytest.raises(InputError, match="one method and detector per file, not r / knn; r / msp"):
        published.openood([*openood_rows, other])
    with pytest.raises(InputError, match="groups near and far"):
        published.openood([r for r in openood_rows if r["group"] == "far"])
    with pytest.raises(InputError, match="no accuracy"):
        published.openood([{k: v for k, v in r.items() if k != "accuracy"} for r in openood_rows])


def test_the_committed_table_is_made_from_the_committed_scores():
    folder = pathlib.Path(__file__).parents[2] / "benchmarks" / "results"
    run = folder / "resnet20_cifar10_scores"
    rows = merge.merge([f"ResNet-20={run}"])
    notes = merge.ties_between([f"ResNet-20={run}"])
    text = merge.text(rows, "paper", published.COLUMNS, notes=notes)
    assert text == (folder / "resnet20_cifar10.tex").read_text()
    for row in rows:
        if row["ood"] != "mean":
            own, ood = (
                np.load(run / "scores" / row["detector"] / f"{name}.npz")["scores"]
                for name in ("id", row["ood"])
            )
            assert metrics.ood_metrics(own, ood)["auroc"] == pytest.approx(row["auroc"], abs=1e-12)
