"""published.toml is complete and consistent, and so are the plans made from it."""

import pathlib
import re

import pytest

from adapt_jax import detectors, metrics, zero_shot_detectors
from adapt_jax.config import unused as config_unused
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import unused
from adapt_jax.reproduce import pages, plan, published
from adapt_jax.runtime import config_files
from adapt_jax.zero_shot import image_features

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = published.results()
SETS = {  # means are those of the published sets, to the rounding of the source
    name: result for name, result in RESULTS.items() if not result.floor
}


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path, monkeypatch):
    """No image set is on this machine."""
    monkeypatch.setenv("ADAPT_JAX_DATA", "data")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_what_has_to_be_there():
    wanted = ("reweightood", "palm", "cider", "supcon", "adapt", "openood", "mcm", "neglabel")
    for word in (*wanted, "adaneg", "simclr", "ccl"):
        assert any(name.startswith(word) for name in RESULTS), word
    assert {f"reweightood_{s}" for s in ("cifar10", "cifar100", "imagenet200", "imagenet")} <= set(
        RESULTS
    )


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_about_things_there_are(name):
    result = RESULTS[name]
    assert result.config in config_files.names()
    assert result.fpr in dict(metrics.COLUMNS)
    assert result.source
    assert result.seeds >= 1
    assert not result.folder or RESULTS[result.folder].config == result.config
    made = plan.make(result)
    places = {p for line in result.lines for p in line.cells}
    known = {s.name for s in made.sets} | {published.group_mean(s.group) for s in made.sets}
    assert places <= known
    assert len({line.detector for line in result.lines}) == len(result.lines)
    (zero_shot_detectors if made.zero_shot else detectors).parse(made.config.detectors)
    if made.zero_shot:
        return
    fields = tuple(f for f in re.findall(r"([\w.]+)=", result.set) if "?" not in f)
    settings = made.config.to_dict()
    config_unused.refuse(fields, unused.reasons(made.config), settings, settings)


@pytest.mark.parametrize("name", SETS)
def test_published_means_are_means_of_the_published_sets(name):
    result = SETS[name]
    for line in result.lines:
        for place, cells in line.cells.items():
            sets = [s.name for s in result.ood_sets() if published.group_mean(s.group) == place]
            for column, figure in cells.items():
                figures = [line.cells.get(s, {}).get(column) for s in sets]
                if sets and all(figures):
                    mean = sum(f.mean for f in figures) / len(figures)
                    assert figure.mean == pytest.approx(mean, abs=0.03), (line.label, place)


def test_a_part_of_the_sets_and_sources_of_ones_own():
    result = RESULTS["reweightood_cifar10"]
    whole = plan.make(result)
    assert whole.config.ood == "openood_cifar10"
    assert whole.reservations([]) == []
    part = plan.make(result, ["tin=npz:t.npz", "mnist"], ["train_data=npz:a.npz,epochs=5"])
    assert part.config.ood.startswith("near/tin=npz:t.npz,far/mnist=list:")
    assert part.config.train_data == "npz:a.npz"
    assert "test_cifar10.txt" in part.config.test_data
    rows = [{"ood": "tin", "n_ood": 10, "n_id": 9000}, {"ood": "mnist", "n_ood": 70_000, "n_id": 9}]
    said = part.reservations(rows)
    assert said == [
        "judged on 2 of 6 sets (tin, mnist)",
        "another recipe than the published one: epochs",
        "not the images of the published protocol: tin (10, there 7,793)",
    ]
    with pytest.raises(InputError, match="has no set 'svh'"):
        plan.make(result, ["svh"])


def test_full_spectrum_counts_the_shifted_images():
    result = RESULTS["reweightood_imagenet200_full_spectrum"]
    made = plan.make(result)
    assert made.config.full_spectrum
    assert "imagenet_r" in made.sources()
    rows = [{"ood": "ninco", "n_ood": 5_879, "n_id": 43_000}]
    assert made.reservations(rows) == []
    assert made.reservations([rows[0] | {"n_id": 9_000}]) == [
        "not the images of the published protocol: ID (9,000, there 43,000)"
    ]


def test_near_sets_with_the_id_images_of_another_suite():
    made = plan.make(RESULTS["adaneg_imagenet_openood_near"])
    assert [s.name for s in made.sets] == ["ssb_hard", "ninco"]
    assert "imagenet_1k/val" in made.config.test_data


@pytest.mark.parametrize("name", [n for n, r in RESULTS.items() if "adaneg" in n or "mcm" in n])
def test_zero_shot_plans_are_complete(name):
    """They have ID images once, and no source that says how images are cut."""
    made = plan.make(RESULTS[name])
    suite = image_features.suite(made.config.ood, made.config.test_data, False)
    assert suite.id_test.source == made.sources()["id"]
    assert suite.name or not any("resize=" in source for source in made.sources().values())
    part = plan.make(RESULTS[name], [made.sets[0].name], ["test_data=npz:t.npz"])
    suite = image_features.suite(part.config.ood, part.config.test_data, False)
    assert (suite.name, suite.id_test.source) == ("", "npz:t.npz")
    assert len(suite.sets) == 1
    assert part.config.class_names == made.config.class_names


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="result 'x'; known: reweightood_cifar10"):
        published.find("x")


def test_the_page_shows_the_list():
    page = (ROOT / "docs/reproduce.md").read_text()
    table = pages.markdown(*pages.overview(list(RESULTS.values()), here=False))
    assert table in page, "write `python -m adapt_jax.reproduce list --format=markdown` into it"
    for name in RESULTS:
        assert name in pages.details(RESULTS[name])
