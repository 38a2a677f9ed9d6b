"""Several values of one field with several seeds: one table, one figure, nothing scored twice."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from adapt_jax import zero_shot_detectors
from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.core.errors import InputError
from adapt_jax.data import streams
from adapt_jax.zero_shot import plan, scoring, sweeps, variants
from adapt_jax.zero_shot.image_features import ImageSet
from tests.zero_shot_detectors import data

ADAPTIVE = "adaneg?groups=3&gap=0.0&logit_scale=20&score=adaptive"
ORDERS = plan.Sweep("stream.order", ("shuffled", "ood_first"), (0, 1, 2), "orders")


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    bank = data.bank(rng)
    sets = {"id": data.images(rng, bank, 40), "a": data.images(rng, bank[1:], 30)}
    sets = {name: rows.astype(np.float32) for name, rows in sets.items()}
    sets = {k: ImageSet(rows, None, tuple(map(str, range(len(rows))))) for k, rows in sets.items()}
    return scoring.Task(bank, sets, {"a": "far"}, streams.make(batch_size=8))


def variants_of(task, specs, orders):
    named = {spec.text: spec for spec in specs}
    settings = {order: task.settings._replace(order=order) for order in orders}
    return [sweeps.Variant(o, named, task._replace(settings=settings[o])) for o in orders]


def test_the_table_has_the_mean_over_seeds_of_every_order(task, tmp_path, monkeypatch):
    specs = zero_shot_detectors.parse(f"mcm,{ADAPTIVE}")
    asked, inner = [], scoring.run
    monkeypatch.setattr(
        scoring,
        "run",
        lambda specs, *args, **kw: asked.append(specs[0].text) or inner(specs, *args, **kw),
    )
    rows = sweeps.run(variants_of(task, specs, ORDERS.values), ORDERS.seeds, lambda text: None)
    assert asked == ["mcm"] + 6 * [ADAPTIVE]
    found = {(r["detector"], r["value"], r["ood"]): r for r in rows}
    assert len(found) == len(rows) == 2 * 2 * 2
    for order in ORDERS.values:
        aurocs = []
        for seed in ORDERS.seeds:
            settings = task.settings._replace(order=order, seed=seed)
            scored = inner(specs[1:], task._replace(settings=settings), report_progress=print)
            aurocs.append(scored.rows[0]["auroc"])
        row = found[ADAPTIVE, order, "a"]
        assert row["auroc"] == pytest.approx(np.mean(aurocs))
        assert row["auroc_std"] == pytest.approx(np.std(aurocs)) != 0
        assert row["stream_order"] == found["mcm", order, "a"]["stream_order"] == order
        assert (row["runs"], found["mcm", order, "a"]["auroc_std"]) == (3, 0)
    assert found[ADAPTIVE, "shuffled", "a"]["auroc"] != found[ADAPTIVE, "ood_first", "a"]["auroc"]

    sweeps.write(tmp_path, rows, ORDERS, "a protocol", Console(file=io.StringIO()))
    content = json.loads((tmp_path / "orders.json").read_text())
    assert content["rows"] == rows
    assert content["values"] == ["shuffled", "ood_first"]
    assert (content["field"], content["seeds"]) == ("stream.order", [0, 1, 2])
    sheet = list(csv.DictReader(io.StringIO((tmp_path / "orders.csv").read_text())))
    assert [float(line["auroc"]) for line in sheet] == [r["auroc"] for r in rows]
    text = (tmp_path / "orders.md").read_text()
    row = found[ADAPTIVE, "ood_first", "a"]
    assert "| ood_first | a | far |" in text
    assert "| mean |" not in text
    assert f"{100 * row['auroc']:.2f} ± {100 * row['auroc_std']:.2f}" in text
    assert "a protocol" in text
    assert "seeds 0, 1, 2" in text
    with Image.open(tmp_path / "orders.png") as picture:
        assert picture.size[0] > 500
    drawn = (tmp_path / "orders.svg").read_text()
    for word in ("ood_first", "stream.order", "mcm", "AUROC", "far-OOD"):
        assert f">{word}" in drawn, word


def test_every_value_has_its_detectors_and_streams():
    config = zero_shot_config.default_config()
    config.detectors = f"mcm,{ADAPTIVE}"

    def swept(text):
        return variants.of(config, variants.read(text, [], []), elsewhere=True)

    one, two = swept("detectors.memory_length=1,5")
    assert list(one.specs) == list(two.specs) == ["mcm", ADAPTIVE]
    assert two.specs[ADAPTIVE].params["memory_length"] == 5
    assert two.specs[ADAPTIVE].params["groups"] == 3
    assert two.specs["mcm"].text == "mcm"
    one, two = swept("stream.mix=1:10,10:1")
    assert (one.stream.mix, two.stream.mix, two.embedding) == ("1:10", "10:1", None)
    assert [c.stream.count for c in swept("stream.count=10,100")] == [10, 100]
    for text, words in (
        ("detectors.memory=1", "none of mcm, adaneg.* has a hyper-parameter memory"),
        ("detectors.memory_length=0", "memory_length"),
        ("stream.order=first", "unknown stream.order 'first'"),
        ("stream.count=0", "at least 1"),
        ("negatives.fraction=0.1,0.2", "from_features brings"),
        ("ood=a,b", "not comparable"),
        ("seed=1", "given by --seeds"),
        ("report=True", "it changes no number"),
        ("stream.mux=1", "no field 'stream.mux'"),
    ):
        with pytest.raises(InputError, match=words):
            swept(text)
    config.detectors = "mcm"
    with pytest.raises(InputError, match="no score depends on it with mcm"):
        swept("stream.order=id_first,ood_first")


def test_a_count_takes_the_same_share_of_every_set():
    counts = {"a": 60, "b": 30}
    all_of = streams.make()
    assert streams.mixed(40, counts, all_of._replace(count=50)) == {"id": 20, "a": 30, "b": 15}
    assert streams.mixed(40, counts, all_of._replace(count=500)) == {"id": 40, "a": 60, "b": 30}
    mixed = streams.mixed(40, counts, streams.make(mix="1:3", count=20))
    assert mixed == {"id": 5, "a": 15, "b": 15}
    with pytest.raises(InputError, match="stream.count=1 leaves no image"):
        streams.mixed(40, counts, all_of._replace(count=1))
    with pytest.raises(InputError, match="without stream.count"):
        streams.make(full_spectrum=True, count=9)


def test_what_the_flags_say():
    read = variants.read
    assert read("", [], []) is None
    assert read("", ["id_first"], []) == plan.Sweep("stream.order", ("id_first",), (0,), "orders")
    assert read("", [], ["1", "2"]) == plan.Sweep("stream.order", ("shuffled",), (1, 2), "orders")
    assert read("a.b=1:1,x", [], []) == plan.Sweep("a.b", ("1:1", "x"), (0,))
    for given, words in (
        (("", [], ["-1"]), "whole numbers from 0"),
        (("", [], ["1", "01"]), "different whole numbers"),
        (("a=1,1", [], []), "--a names one twice"),
        (("a", [], []), "write a field and its values"),
        (("a=1", ["shuffled"], []), "not both"),
    ):
        with pytest.raises(InputError, match=words):
            read(*given)
