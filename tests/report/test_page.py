"""The page: complete, self-contained, escaped, and written whatever parts are missing."""

import html.parser
import re
from typing import NamedTuple

import numpy as np
import pytest

from adapt_jax.report import page as report
from adapt_jax.report import plots
from adapt_jax.results import result_files, result_rows
from adapt_jax.results.evaluation import Evaluation
from adapt_jax.results.scored import Scored

HOSTILE = "<script>alert(1)</script>/\"'&{{ 7*7 }} $x_{$ Bücher 日本"
RNG = np.random.default_rng(0)


class _Page(html.parser.HTMLParser):
    """Collects tags, attributes and visible text; every opened tag must be closed in order."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


class _Set(NamedTuple):
    images: object = None
    labels: object = None
    names: object = None


def _write(path, detectors=("knn",), sets=(("svhn", "far"),), **changes):
    scores, rows = {}, []
    for i, d in enumerate(detectors):  # every set has the same: metrics take long
        own, other = RNG.normal(1 - i, 1, 150), RNG.normal(-1, 1, 90)
        scores[d] = {"id": own} | {s: other for s, _ in sets}
        row = result_rows.row(d, *sets[0], own, other)
        rows += [row | {"ood": s, "group": g} for s, g in sets]
    facts = {"protocol": "p", "id": "c10", "seed": 1, "method": "adapt", "model": "r18"}
    header = result_files.header(**facts, checkpoint_sha256="ab" * 32)
    parts = {
        "title": "A run",
        "facts": header,
        "config": {"seed": 1, "method": {"name": "adapt"}},
        "scored": Scored([*rows, *result_rows.mean_rows(rows)], scores, {}, {}, {}, {}, {}),
        "groups": dict(sets),
        "sets": changes.pop("shown", {}),
        "vectors": {},
    } | changes
    history = parts.pop("history", ())
    return _Page(report.write(path, Evaluation(**parts), header, history)), rows


def _extras(set_name="svhn", classes=5):
    labels = np.arange(120) % classes
    images = RNG.integers(0, 255, (150, 8, 8), np.uint8)
    return {
        "history": [
            {"step": i, "epoch": i / 10, "loss": 1 / (i + 1), "lr": 0.1} for i in range(30)
        ],
        "vectors": {"id": RNG.normal(size=(120, 16)), set_name: RNG.normal(size=(50, 16))},
        "prototypes": RNG.normal(size=(2, 5, 16)),
        "shown": {
            "id": _Set(images, labels, [f"a/{i}.png" for i in range(150)]),
            set_name: _Set(
                lambda i: np.stack([images[i % 20]] * 3, axis=-1), None, ["<b>x</b>"] * 90
            ),
        },
    }


def test_numbers_facts_and_both_conventions_are_there(tmp_path):
    page, rows = _write(tmp_path, detectors=("knn", "msp"), **_extras())
    text = " ".join(page.text)
    for row in rows:
        for column in ("fpr95", "fpr95_idpos_nearest", "auroc", "aupr_in", "aupr_out"):
            assert f"{100 * row[column]:.2f}" in text
    for fact in ("c10", "adapt", "r18", "abababababab", "method.name", "OOD+", "ID+, nearest"):
        assert fact in text
    # knn is better by construction: its AUROC is bold, in both tables.
    assert f"<b>{100 * rows[0]['auroc']:.2f}</b>" in page.source
    assert f"<b>{100 * rows[1]['auroc']:.2f}</b>" not in page.source
    assert text.index("knn") < text.index("msp")
    assert "far OOD, best of 2 detectors, chosen on test sets" in text
    assert "so its numbers are optimistic" in text
    assert "Decisions with a guarantee" in text
    assert "by knn with the 150 ID test images as calibration" in text
    assert "far, AUROC: every difference is distinguishable at 5 % (over images; one pair)" in text


def test_intervals_are_in_the_tables(tmp_path):
    page, rows = _write(tmp_path)
    assert "bootstrap" not in page.source
    rows = [r | {"auroc_low": 0.5, "auroc_high": 0.75} for r in rows]
    scored = Scored(rows + result_rows.mean_rows(rows), {}, {}, {}, {}, {}, {})
    page, _ = _write(tmp_path, scored=scored)
    assert "[50.00, 75.00]" in page.source
    assert "95 % bootstrap interval" in page.source


def test_one_detector_has_no_best(tmp_path):
    page, rows = _write(tmp_path)
    assert "best of" not in page.source
    assert f"{100 * rows[0]['auroc']:.2f}" in page.source
    assert f"<b>{100 * rows[0]['auroc']:.2f}</b>" not in page.source


@pytest.mark.parametrize(
    "absent", ["history", "vectors", "prototypes", "labels", "images", "names"]
)
def test_any_part_may_be_missing(tmp_path, absent):
    extras = _extras()
    if absent in _Set._fields:
        extras["shown"] = {k: s._replace(**{absent: None}) for k, s in extras["shown"].items()}
    else:
        del extras[absent]
    page, _ = _write(tmp_path, **extras)
    headings = {"history": "Training", "vectors": "Embeddings", "images": "OOD images that"}
    for part, heading in headings.items():
        assert (f"<h2>{heading}" in page.source) == (part != absent)


def test_hostile_names_are_text(tmp_path):
    page, _ = _write(
        tmp_path,
        detectors=(HOSTILE,),
        sets=((HOSTILE, HOSTILE),),
        title=HOSTILE,
        config={HOSTILE: [HOSTILE]},
        class_names=[HOSTILE] * 5,
        **_extras(HOSTILE) | {"history": [{"step": 1, HOSTILE: 2.0, "note": HOSTILE}]},
    )
    assert "script" not in page.tags
    assert "".join(page.text).count(HOSTILE) >= 8
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_anywhere(tmp_path):
    page, _ = _write(tmp_path, **_extras())
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("data:image/png;base64,", "#"))
    assert not re.search(r"@import|url\((?!#)", page.source)
    assert {"link", "iframe", "script"}.isdisjoint(page.tags)
    ids = {value for name, value in page.attributes if name == "id"}
    assert {v[1:] for n, v in page.attributes if n == "xlink:href"} <= ids
    assert set(re.findall(r"url\(#([^)]+)\)", page.source)) <= ids


def test_twelve_sets_and_many_detectors_stay_small(tmp_path, monkeypatch):
    draw, drawn = plots.histogram, {}

    def histogram(*scores):  # the same one for the same arrays, so that twelve are drawn as one
        key = tuple(map(id, scores))
        return drawn.get(key) or drawn.setdefault(key, draw(*scores))

    monkeypatch.setattr(plots, "histogram", histogram)
    sets = tuple((f"set{i}", "near" if i < 4 else "far") for i in range(12))
    detectors = tuple(f"detector{i}" for i in range(8))
    page, rows = _write(tmp_path, detectors=detectors, sets=sets, **_extras(classes=100))
    assert len(page.source.encode()) < 3e6
    assert page.tags.count("svg") == 6 * 12 + 6 + 2  # six detectors, their ROCs, loss and lr
    assert "2 more detectors" in page.source
    assert "100 classes, one colour each" in page.source  # not a hundred names
    assert len(rows) == 96


def test_extremes_are_the_worst_mistakes():
    images = {name: np.arange(5, dtype=np.uint8)[:, None, None] for name in ("id", "a", "b")}
    names = {name: [f"{name}{i}" for i in range(5)] for name in images}
    scores = {"id": np.arange(5.0), "a": np.array([1.0, 9, 2, 3, 4]), "b": np.arange(5.0) + 2.5}
    ood, own = report.extremes("knn", scores, images, names, count=3).values()
    assert [(e.name, e.score, e.set_name) for e in ood] == [
        ("a1", 9.0, "a"),
        ("b4", 6.5, "b"),
        ("b3", 5.5, "b"),
    ]
    assert [e.name for e in own] == ["id0", "id1", "id2"]
    assert [int(e.image[0, 0]) for e in own] == [0, 1, 2]
    ood, own = report.extremes("knn", scores, images | {"id": None}, {}, count=1).values()
    assert ([e.name for e in ood], own) == (["1"], [])


def test_histogram_survives_extreme_scores():
    for own, ood in [
        ([1.0, 1.0, 1.0], [1.0]),
        ([0.0, 1.0], [-1e30, 1e30]),
        (RNG.normal(size=100) * 1e-12, [-5.0] * 9),
    ]:
        assert plots.histogram(np.array(own), np.array(ood)).count("<path") > 4


def test_projection_of_one_dimension_and_identical_points():
    for rows in (RNG.normal(size=(9, 1)), np.ones((9, 4))):
        found = plots.projection(rows, None, {}, None, None, plots.class_colors(1))
        assert found.image.startswith("data:image/png")


def test_class_colors_are_distinct():
    assert len(set(plots.class_colors(100))) == 100
