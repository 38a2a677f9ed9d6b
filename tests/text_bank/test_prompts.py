"""Templates and class names: what sentences come out, and what is said about bad files."""

import json

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.text_bank import class_names, prompts


def test_presets_have_one_place_for_the_word():
    for preset in prompts.PRESETS.values():
        for template in (*preset.labels, *preset.noun, *preset.adjective):
            assert template.count("{}") == 1
    official = prompts.make("neglabel")
    (noun,), (adjective,) = official.noun, official.adjective
    assert prompts.fill(noun, ["dog", "{odd} 0}"]) == ["the nice dog", "the nice {odd} 0}"]
    assert prompts.fill(adjective, ["wet"]) == ["This is a wet photo"]
    assert len(prompts.make("openood_vlm_tip").labels) == 7
    for name in ("openood_vlm", "openood_vlm_simple", "openood_vlm_tip"):  # one option for both
        assert prompts.make(name).noun == prompts.make(name).labels


def test_own_templates(tmp_path):
    own = prompts.make("openood_vlm", labels="a photo of the digit {}", noun="{}")
    assert own == (("a photo of the digit {}",), ("{}",), ("This is a {} photo.",), True)
    file = tmp_path / "templates.txt"
    file.write_text("a {}.\n\nthe {}.\n")
    assert prompts.make(labels=f"file:{file}").labels == ("a {}.", "the {}.")
    assert prompts.make(labels=["a {}", "b {}"]).labels == ("a {}", "b {}")


def test_bad_templates_are_explained(tmp_path):
    with pytest.raises(InputError, match="known: mcm, neglabel"):
        prompts.make("nice")
    with pytest.raises(InputError, match=r"exactly one \{\}.*'a photo'"):
        prompts.make(labels="a photo")
    with pytest.raises(InputError, match="cannot read the prompts"):
        prompts.make(labels=f"file:{tmp_path}/none")


def test_ensemble_weighs_templates_equally():
    features = np.array([[[3.0, 0.0]], [[0.0, 50.0]]], np.float32)  # two templates, one class
    np.testing.assert_allclose(prompts.ensemble(features), [[0.5**0.5, 0.5**0.5]], rtol=1e-6)
    raw = prompts.ensemble((rows for rows in features), unit_first=False)
    np.testing.assert_allclose(raw, [[3 / 2509**0.5, 50 / 2509**0.5]], rtol=1e-6)


def test_class_names_from_files(tmp_path):
    text, array, keras = (tmp_path / name for name in ("names.txt", "names.json", "index.json"))
    text.write_text("tench\ngreat_white shark\n\nmissile\nmissile\n")
    array.write_text(json.dumps(["tench", "sunglasses"]))
    keras.write_text(json.dumps({"1": ["n2", "gold_fish"], "0": ["n1", "tench"]}))
    assert class_names.load(text) == ("tench", "great white shark", "missile", "missile")
    assert class_names.load(str(array)) == ("tench", "sunglasses")
    assert class_names.load(str(keras)) == ("tench", "gold fish")


def test_imagenet_names_of_an_installed_open_clip(tmp_path, monkeypatch):
    package = tmp_path / "open_clip"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('this would import torch')")
    (package / "zero_shot_metadata.py").write_text("A = f()\nIMAGENET_CLASSNAMES = ('tench', 'ox')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert class_names.load("imagenet") == ("tench", "ox")


def test_lists():
    assert class_names.load("cifar10")[1] == "automobile"
    assert class_names.load("digits")[3] == "three"
    assert class_names.words(["aquarium_fish", "3"]) == ("aquarium fish", "3")


def test_bad_class_names_are_explained(tmp_path):
    for names in (["n01440764", "n01443537"], ["0", "1"]):
        with pytest.raises(InputError, match=f"{names[0]}.*codes"):
            class_names.words(names)
    with pytest.raises(InputError, match="no class names"):
        class_names.words([])
    with pytest.raises(InputError, match="known: cifar10, cifar100, bimcv, digits, imagenet"):
        class_names.load("cifar1000")
    for text in ('{"1": "a"}', "[1, 2]", "[", "3"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match="cannot read class names"):
            class_names.load(tmp_path / "bad.json")
