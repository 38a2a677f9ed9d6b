"""Each check of a run stays quiet on a good case and fires on one made bad."""

import io

import numpy as np
import pytest
from rich.console import Console

from adapt_jax import metrics
from adapt_jax.doctor import run_checks, set_checks
from adapt_jax.doctor.findings import FAIL, OK, WARN, Finding, table
from adapt_jax.results import result_rows

RNG = np.random.default_rng(0)
LABELS = np.arange(300) % 3
GOOD = (RNG.normal(size=(300, 8)) + 3 * np.eye(8)[LABELS]).astype(np.float32)
PIXELS = RNG.integers(0, 256, (150, 4, 4, 3), dtype=np.uint8)
ROLES = {
    "train": "train",
    "id": "id",
    "val": "val",
    "c": "shifted",
    "far": "ood",
    "ood_val": "ood_val",
}


def said(findings, *texts):
    """The one status of findings; every text is in some detail."""
    (status,) = {f.status for f in findings}
    for f in findings:
        assert bool(f.remedy) == (f.status != OK)
    for text in texts:
        assert any(text in f.detail for f in findings), findings
    return status


def test_weights():
    good = {"kernel": np.ones((2, 3)), "mean": np.zeros(3), "count": np.ones((), int)}
    assert said(run_checks.weights(good), "10 values in 3 arrays") == OK
    bad = good | {"mean": np.array([0, np.nan, -np.inf])}
    assert said(run_checks.weights(bad), "2 of 10", "first in mean") == FAIL


def test_identity_length_and_what_changed():
    assert said(run_checks.same_checkpoint("ab", "ab")) == OK
    assert said(run_checks.same_checkpoint("a" * 64, "b" * 64), "b" * 12) == FAIL
    assert said(run_checks.length(24, 24), "24 of 24") == OK
    assert said(run_checks.length(8, 24), "8 of 24") == WARN
    assert run_checks.unchanged(None, "a") == []
    assert said(run_checks.unchanged("a", "a")) == OK
    assert said(run_checks.unchanged("a", "b")) == FAIL


@pytest.mark.parametrize(
    ("classes", "found", "status"),
    [
        (10, {"classifier": 0.9, "nearest class mean": 0.85}, OK),
        (10, {"classifier": 0.9, "nearest class mean": 0.4}, WARN),
        (10, {"classifier": 0.9, "nearest class mean": 0.19}, FAIL),
        (10, {"nearest class mean": 0.21}, OK),
        (2, {"classifier": 0.55}, WARN),
        (2, {"classifier": 0.95}, OK),
    ],
)
def test_accuracy(classes, found, status):
    assert said(run_checks.accuracy(classes, found)) == status


def test_prototypes():
    unit = np.eye(8, dtype=np.float32)
    pair = np.stack([unit[:3], unit[:3] + 0.1 * unit[3]])  # (K, C, D) = (2, 3, 8)
    assert said(run_checks.prototypes(GOOD, LABELS, pair), "of 6 never nearest") == OK
    assert said(run_checks.prototypes(GOOD, LABELS, pair[0])) == OK  # CIDER's (C, D)
    moved = np.roll(pair, 1, axis=1)  # each class has another's prototypes
    assert said(run_checks.prototypes(GOOD, LABELS, moved), "nearest to a prototype of") == WARN
    far = np.tile(-unit[:3].sum(axis=0), (4, 3, 1))
    unused = np.concatenate([pair[:1], far])
    assert said(run_checks.prototypes(GOOD, LABELS, unused), "12 of 15") == WARN
    together = unit[:3] * 0.01 + unit[4]
    assert said(run_checks.prototypes(GOOD, LABELS, together), "fell together") == WARN


def test_prototypes_by_hand():
    protos = np.array([[[1, 0], [0, 1]], [[-1, 0], [0.6, 0.8]]], np.float32)  # (K, C, D)
    rows = np.array([[2, 0], [0, 3], [6, 8], [0.8, 0.6]], np.float32)
    # The last is nearer to (.6, .8) of class 1 than to its own (1, 0): cosines .96 and .8.
    detail = run_checks.prototypes(rows, np.array([0, 1, 1, 0]), protos)[0].detail
    assert "75.0% of training" in detail
    assert "alignment 0.950" in detail
    assert "1 of 4 never" in detail
    assert "between prototypes -0.033" in detail  # (0 - 1 + .6 + 0 + .8 - .6) / 6 pairs


def test_summary_of_features_against_float64(monkeypatch):
    monkeypatch.setattr(run_checks.blocks, "__defaults__", (64,))
    rows = np.concatenate([GOOD, np.zeros((1, 8)), [[np.nan] * 8]]).astype(np.float32)
    rows[:-1, 5] = 2
    s = set_checks.summarize_features(rows)
    fine = rows[:-1].astype(np.float64)
    assert (s.count, s.width, s.broken, s.zero, s.dead) == (302, 8, 1, 0, 1)
    values = np.linalg.eigvalsh(np.cov(fine.T, ddof=0))
    unit = fine / np.linalg.norm(fine, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(301, dtype=bool)]
    np.testing.assert_allclose(s.rank, values.sum() ** 2 / (values**2).sum())
    np.testing.assert_allclose(s.deviation, np.sqrt(values.sum()))
    np.testing.assert_allclose(s.cosine, cosines.mean())
    np.testing.assert_allclose(s.norm, np.median(np.linalg.norm(fine, axis=1)))
    np.testing.assert_allclose(s.mean, fine.mean(axis=0))
    wide = set_checks.summarize_features(np.ascontiguousarray(fine[:6].T[:4] + np.eye(4, 6)))
    assert 1 < wide.rank < 4  # fewer rows than channels


@pytest.mark.parametrize(
    ("rows", "role", "status", "text"),
    [
        (GOOD, "train", OK, "300 x 8"),
        (np.where(np.arange(300)[:, None] < 3, np.inf, GOOD), "ood", FAIL, "3 of 300"),
        (np.full_like(GOOD, np.nan), "id", FAIL, "300 of 300"),
        (np.where(np.arange(300)[:, None] < 3, 0, GOOD), "ood", WARN, "3 of 300"),
        (GOOD * 0, "train", FAIL, "300 of 300"),
        (5 + 1e-3 * GOOD, "id", FAIL, "nearly the same"),
        (5 + 1e-3 * GOOD, "ood", WARN, "nearly the same"),
        (np.abs(GOOD[:, :1]) * np.eye(8)[0] + 0.01 * GOOD, "train", WARN, "one direction"),
        (np.where(np.arange(8) < 3, 1, GOOD), "train", WARN, "3 of 8 channels"),
        (np.where(np.arange(8) < 3, 1, GOOD), "ood", OK, "3 dead"),
        (GOOD[:1], "ood", OK, "1 x 8"),
    ],
)
def test_features(rows, role, status, text):
    found = set_checks.features("x", role, set_checks.summarize_features(rows))
    worst = [f for f in found if text in f.detail]
    assert worst, found
    assert worst[0].status == status


def test_features_apart():
    def against_train(rows, role):
        sets = {"train": GOOD[:150], "x": rows}
        brief = {name: set_checks.summarize_features(r) for name, r in sets.items()}
        return set_checks.features_apart(brief, {"train": "train", "x": role})

    assert said(against_train(GOOD[150:], "id")) == OK
    assert said(against_train(GOOD[150:] + 2, "id"), "deviations away") == WARN
    assert said(against_train(GOOD[150:] + 2, "ood"), "mean shifted by") == OK
    assert said(against_train(GOOD[150:] * 1.3, "id"), "1.3") == WARN
    assert said(against_train(GOOD[150:] * 1.3, "ood")) == OK
    assert said(against_train(GOOD[150:] * 255, "ood"), "norm is 2") == WARN
    assert against_train(GOOD * np.nan, "ood") == []  # said elsewhere


def looked_at(images, role, train=PIXELS):
    brief, train = map(set_checks.summarize_images, (images, train))
    return set_checks.images("x", role, brief, train)


def test_images():
    grey = np.repeat(PIXELS[..., :1], 3, axis=-1)
    black = np.where(np.arange(150)[:, None, None, None] < 1, 0, PIXELS).astype(np.uint8)
    assert said(looked_at(PIXELS, "train"), "150, colour, mean 0.49 0.50 0.50", "0 repeated") == OK
    assert said(looked_at(PIXELS[:50], "ood"), "50 images only") == WARN
    assert said(looked_at(PIXELS[:50], "train")) == OK
    assert said(looked_at(black, "ood"), "1 of 150 images have one colour") == WARN
    assert said(looked_at(PIXELS[np.arange(150) % 140], "id"), "10 of 150") == WARN
    assert said(looked_at(PIXELS // 2, "id"), "deviation x 0.50") == WARN
    assert said(looked_at(PIXELS // 8, "ood"), "mean is 1.5") == WARN
    assert said(looked_at(PIXELS // 2, "shifted")) == OK
    assert said(looked_at(grey, "ood"), "100% of images are grey") == WARN
    assert said(looked_at(PIXELS, "ood", train=grey), "0% of images are grey") == WARN
    assert said(looked_at(grey, "ood", train=grey), "150, grey") == OK


def test_overlaps():
    hashes = {name: np.arange(10, dtype=np.uint64) + 100 * i for i, name in enumerate(ROLES)}
    assert said(set_checks.overlaps(hashes, ROLES)) == OK

    def sharing(name, other):
        mixed = np.concatenate([hashes[other][:2], hashes[other][:1], hashes[name][3:]])
        return set_checks.overlaps(hashes | {name: mixed}, ROLES)

    for name, other in (("id", "train"), ("val", "train"), ("val", "id"), ("ood_val", "far")):
        text = f"3 of 10 images of {name} are also in {other}"
        assert said(sharing(name, other), text) == WARN
    for other in ("train", "id", "val", "c"):
        assert said(sharing("far", other), f"images of far are also in {other}") == FAIL
    assert said(sharing("c", "id")) == OK  # the same image, corrupted or not


def test_counts():
    good = {"id": {"images": 9, "features": 9, "suite": None}, "far": {"features": 4}}
    assert said(run_checks.counts(good), "id 9, far 4") == OK
    bad = good | {"far": {"images": 5, "features": 4, "scores of a": 5, "b": 5, "c": 5}}
    assert (
        said(run_checks.counts(bad), "far has 5 in images, scores of a, b and 1 more; 4 in") == FAIL
    )


ID_SCORES = RNG.normal(size=200).astype(np.float32) + 2
SCORES = {s: RNG.normal(size=100).astype(np.float32) for s in ("a", "b")}
ROWS = [result_rows.row("knn", s, "far", ID_SCORES, v) for s, v in SCORES.items()]


def test_rows():
    rows = ROWS + result_rows.mean_rows(ROWS)
    assert said(run_checks.rows(rows, ["knn"], ["a", "b"], {}), "3 rows") == OK
    lacking = run_checks.rows(rows, ["knn", "msp"], ["a", "b"], {})
    assert said(lacking, "2 rows are missing, first detector 'msp' on 'a'") == FAIL
    assert said(run_checks.rows(rows, ["knn", "msp"], ["a", "b"], {"msp": "no logits"})) == WARN
    assert said(run_checks.rows(rows, ["knn"], ["a", "c"], {}), "'c'") == FAIL
    wrong = ROWS + [r | {"auroc": r["auroc"] + 0.01} for r in rows[2:]]
    assert said(run_checks.rows(wrong, ["knn"], ["a", "b"], {}), "not the means") == FAIL
    odd = [ROWS[0], ROWS[1] | {"n_id": 199}]
    assert said(run_checks.rows(odd, ["knn"], ["a", "b"], {}), "different n_id") == FAIL


def scored(values, id_scores=ID_SCORES, recorded=None):
    return run_checks.scores("knn", id_scores, {"a": values}, recorded or {})


def test_scores():
    recorded = {r["ood"]: r for r in ROWS}
    assert said(run_checks.scores("knn", ID_SCORES, SCORES, recorded), "on 2 sets") == OK
    edited = SCORES["a"].copy()
    edited[:5] += 3
    assert said(scored(edited, recorded=recorded), "recorded metrics of a") == FAIL
    assert said(scored(np.where(edited > 9, 0, np.nan)), "100 of 100 scores are NaN") == FAIL
    assert said(scored(edited * 0), "constant") == FAIL
    assert said(scored(-edited + 9), "worse than chance: AUROC a") == WARN
    assert said(scored(edited - 99), "exactly 1 on a") == WARN
    assert said(scored(np.round(edited, 1), np.round(ID_SCORES, 1)), "are shared with") == WARN
    top = np.minimum(ID_SCORES, 2)
    assert said(scored(SCORES["a"], top), "one and the same score") == WARN


def test_every_metric_is_derived_again():
    for name in result_rows.METRICS:
        row = {"a": ROWS[0] | {name: ROWS[0][name] - 0.01}}
        assert said(scored(SCORES["a"], recorded=row), "recorded metrics of a") == FAIL
    assert metrics.ood_metrics(ID_SCORES, SCORES["a"]).items() <= ROWS[0].items()


@pytest.mark.parametrize("width", [30, 120])
def test_findings_on_narrow_and_wide_consoles(width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table([Finding(FAIL, "what", "the detail", "the remedy"), Finding(OK, "b", "c")]))
    shown = console.file.getvalue()
    assert shown.index("OK") < shown.index("FAIL") < shown.index("the remedy")
    assert max(map(len, shown.splitlines())) <= width
    assert ("┃" in shown) == (width == 120)
