"""Streams of several orders and seeds: one table, and static detectors are scored once."""

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from adapt_jax import zero_shot_detectors
from adapt_jax.core.errors import InputError
from adapt_jax.data import streams
from adapt_jax.zero_shot import orders, plan, scoring
from adapt_jax.zero_shot.image_features import ImageSet
from tests.zero_shot_detectors import data

ADAPTIVE = "adaneg?groups=3&gap=0.0&logit_scale=20&score=adaptive"
SWEEP = plan.Sweep(("shuffled", "ood_first"), (0, 1, 2))


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    bank = data.bank(rng)
    sets = {"id": data.images(rng, bank, 40), "a": data.images(rng, bank[1:], 30)}
    sets = {name: rows.astype(np.float32) for name, rows in sets.items()}
    sets = {k: ImageSet(rows, None, tuple(map(str, range(len(rows))))) for k, rows in sets.items()}
    return scoring.Task(bank, sets, {"a": "far"}, streams.make(batch_size=8))


def test_the_table_has_the_mean_over_seeds_of_every_order(task, tmp_path, monkeypatch):
    specs = zero_shot_detectors.parse(f"mcm,{ADAPTIVE}")
    asked, inner = [], scoring.run
    monkeypatch.setattr(
        scoring, "run", lambda specs, *args, **kw: asked.append(specs) or inner(specs, *args, **kw)
    )
    rows = orders.run(specs, task, SWEEP, lambda text: None)
    assert [len(named) for named in asked] == [2, 1, 1, 1, 1, 1]
    found = {(r["detector"], r["stream_order"], r["ood"]): r for r in rows}
    assert len(found) == len(rows) == 2 * 2 * 2
    for order in SWEEP.orders:
        aurocs = []
        for seed in SWEEP.seeds:
            settings = task.settings._replace(order=order, seed=seed)
            scored = inner(specs[1:], task._replace(settings=settings), report_progress=print)
            aurocs.append(scored.rows[0]["auroc"])
        row = found[ADAPTIVE, order, "a"]
        assert row["auroc"] == pytest.approx(np.mean(aurocs))
        assert row["auroc_std"] == pytest.approx(np.std(aurocs)) != 0
        assert (row["runs"], found["mcm", order, "a"]["auroc_std"]) == (3, 0)
    assert found[ADAPTIVE, "shuffled", "a"]["auroc"] != found[ADAPTIVE, "ood_first", "a"]["auroc"]

    orders.write(tmp_path, rows, SWEEP, "a protocol", Console(file=io.StringIO()))
    content = json.loads((tmp_path / "orders.json").read_text())
    assert content["rows"] == rows
    assert (content["orders"], content["seeds"]) == (["shuffled", "ood_first"], [0, 1, 2])
    sheet = list(csv.DictReader(io.StringIO((tmp_path / "orders.csv").read_text())))
    assert [float(line["auroc"]) for line in sheet] == [r["auroc"] for r in rows]
    text = (tmp_path / "orders.md").read_text()
    row = found[ADAPTIVE, "ood_first", "a"]
    assert "| ood_first | a | far |" in text
    assert f"{100 * row['auroc']:.2f} ± {100 * row['auroc_std']:.2f}" in text
    assert "a protocol" in text
    assert "seeds 0, 1, 2" in text


def test_what_the_flags_say():
    assert plan.read_sweep([], []) is None
    assert plan.read_sweep(["id_first"], []) == plan.Sweep(("id_first",), (0,))
    assert plan.read_sweep([], ["1", "2"]) == plan.Sweep(("shuffled",), (1, 2))
    for given, words in (
        ((["first"], []), "unknown order 'first'"),
        (([], ["-1"]), "whole numbers from 0"),
        (([], ["1", "01"]), "names one twice"),
    ):
        with pytest.raises(InputError, match=words):
            plan.read_sweep(*given)
