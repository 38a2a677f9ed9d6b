"""Every file in configs/ is a complete, buildable experiment; each kind of step runs twice."""

import functools
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import config, detectors, methods
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import build, checks, derived, image_sets
from adapt_jax.runtime import config_files, sharding
from adapt_jax.training import train_state, train_step
from adapt_jax.zero_shot import image_features, plan, text_features

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
ALL = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.py"))}
ZERO_SHOT = [stem for stem, text in ALL.items() if "adapt_jax.zero_shot " in text]
FILES = [stem for stem in ALL if stem not in ZERO_SHOT]
CLASSES, IMAGES, SIDE = 3, 40, 8
MEAN_STD = ((0.5,) * 3, (0.25,) * 3)


def load(stem):
    return config_files.load_config(str(FOLDER / f"{stem}.py"))


def shrink(chosen):
    """The same experiment on 8 x 8 images with a network that compiles in seconds."""
    chosen.train_data = "digits:train?classes=0-2"
    chosen.test_data = "digits:test?classes=0-2"
    chosen.ood = "near/others=digits?classes=3-9"
    chosen.image_size, chosen.batch_size = SIDE, 16
    chosen.model.name, chosen.model.stem, chosen.model.pretrained = "resnet18", "cifar", ""
    chosen.model.width, chosen.model.blocks, chosen.model.embedding_dim = 4, (1, 0, 0, 0), 8
    chosen.model.trainable = chosen.model.trainable.replace("layer4", "layer1")
    chosen.augment.jitter_probability = chosen.augment.grayscale = 0.0
    return chosen


@functools.cache
def two_steps(method, choices, views):
    """State and metrics after two steps on noise; one program serves all configs of a kind."""
    chosen = shrink(config.default_config(method))
    chosen.method.params.update(dict(choices))
    chosen.views = views
    parts = build.make_parts(
        chosen,
        mesh=sharding.make_mesh(jax.devices()[:1]),
        num_classes=CLASSES,
        num_images=IMAGES,
        mean_std=MEAN_STD,
    )
    state = train_state.create(jax.random.key(0), parts, (SIDE, SIDE, 3))
    step, metrics = jax.jit(train_step.make_step(parts)), []
    rng = np.random.default_rng(0)
    for _ in range(2):
        images = rng.integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8)
        labels = rng.integers(0, CLASSES, 16, dtype=np.int32)
        state, found = step(state, images, labels)
        metrics.append(found)
    return state, metrics


@pytest.mark.parametrize("stem", FILES)
def test_it_builds_and_takes_two_steps(stem):
    full = load(stem)
    images = 50_000
    parts = build.make_parts(
        full, mesh=sharding.make_mesh(), num_classes=10, num_images=images, mean_std=MEAN_STD
    )
    total = derived.plan_of(full, images).total_steps
    assert np.isfinite(parts.schedule(jnp.arange(0, total, total // 50 or 1))).all()
    assert detectors.parse(full.detectors)
    assert image_sets.suite(full).sets

    small = shrink(full)
    checks.check_config(small)
    choices = {k: v for k, v in small.method.params.items() if isinstance(v, bool | str)}
    state, metrics = two_steps(small.method.name, tuple(sorted(choices.items())), small.views)
    assert int(state.step) == 2
    assert all(np.isfinite(m["loss"]) for m in metrics)
    assert not any(m["skipped"] for m in metrics)


@pytest.mark.parametrize("stem", FILES)
def test_its_header_is_the_run_book(stem):
    text = (FOLDER / f"{stem}.py").read_text()
    assert f"python -m adapt_jax.train --config=configs/{stem}.py --workdir=runs/" in text
    assert re.search(r"GPU|no accelerator", text)
    method = stem.partition("_")[2]
    assert load(stem).method.name == {"simclr": "supcon"}.get(method, method)


def suite_of(chosen):
    return image_features.suite(chosen.ood, chosen.test_data, chosen.full_spectrum)


@pytest.mark.parametrize("stem", ZERO_SHOT)
def test_a_zero_shot_config_is_complete(stem):
    chosen = load(stem)
    scored = plan.scoring(chosen)
    assert scored.specs
    assert scored.stream.order == "shuffled"
    assert suite_of(chosen).id_test.source
    chosen.corpus.place = "embedded"
    found = text_features.read_candidates(
        chosen.prompts.to_dict(), chosen.corpus.to_dict(), chosen.negatives.to_dict()
    )
    assert bool(found.corpus) == (stem != "imagenet_mcm")
    text = ALL[stem]
    assert f"python -m adapt_jax.zero_shot --config=configs/{stem}.py" in text
    assert "--workdir=runs/" in text
    assert stem.startswith("digits") or "not yet run on real weights" in text


@pytest.mark.parametrize(
    "suite", ["mos_imagenet", "openood_imagenet", "hard_imagenet10", "mos_cub"]
)
def test_a_zero_shot_config_takes_another_suite(suite):
    for stem in ("imagenet_mcm", "imagenet_neglabel", "imagenet_csp", "imagenet_adaneg"):
        chosen = config_files.load_config(f"{FOLDER / stem}.py:{suite}")
        assert suite_of(chosen).name == suite


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "digits"])
def test_every_method_has_a_config(data):
    assert {f"{data}_{name}" for name in methods.names()} <= set(FILES)


def test_the_digits_configs_share_one_recipe():
    """What differs from digits_adapt.py is the method, so that a comparison compares methods."""
    recipes = []
    for stem in (s for s in FILES if s.startswith("digits_")):
        recipe = load(stem).to_dict()
        del recipe["method"], recipe["detectors"]
        recipes.append(recipe)
    assert all(recipe == recipes[0] for recipe in recipes)


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_methods_see_the_same_pixels(data):
    """Every method of a data set has the same images and statistics, so that they compare.

    OOD sets are those of each paper.
    """
    found = [load(stem) for stem in FILES if stem.startswith(f"{data}_")]
    fields = ("train_data", "test_data", "image_size", "mean", "std")
    assert len({tuple(str(config[field]) for field in fields) for config in found}) == 1


def test_a_config_inherits_from_any_working_directory(tmp_path, monkeypatch):
    for name in ("digits_adapt.py", "digits_palm.py"):
        shutil.copy(FOLDER / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in ("digits_palm.py", tmp_path / "digits_palm.py"):
        assert config_files.load_config(str(path)).method.name == "palm"
    (tmp_path / "digits_adapt.py").unlink()
    with pytest.raises(InputError, match="digits_palm.py failed with FileNotFoundError"):
        config_files.load_config("digits_palm.py")


def test_inheriting_swaps_the_hyper_parameters_too():
    inherited = config.inherit(str(FOLDER / "any.py"), "cifar10_adapt.py", method="supcon")
    assert inherited.method.params.to_dict() == methods.defaults("supcon")
    assert inherited.train_data == load("cifar10_adapt").train_data
