"""What a run refuses about its images, before training."""

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.experiment import checks
from tests.e2e import small


@pytest.fixture
def flat(tmp_path):
    """An unlabelled npz of 70 images, and one whose last class shows up late."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "flat.npz", images=images)
    np.savez(tmp_path / "late.npz", images=images, labels=np.r_[np.arange(60) % 2, [3, 2] * 5])
    return tmp_path


def load(**overrides):
    config = small.config(**overrides)
    checks.check_config(config)
    return checks.load_data(config)


def test_labels_are_needed_to_learn_from_them(flat):
    with pytest.raises(InputError, match=r"flat\.npz"):
        load(train_data=f"npz:{flat}/flat.npz")


def test_a_detector_that_needs_labels_says_so(flat):
    simclr = {"name": "supcon", "params": {"use_labels": False}}
    unlabelled = {"train_data": f"npz:{flat}/flat.npz", "method": simclr}
    with pytest.raises(InputError, match=r"'mahalanobis' needs labels.*use knn or ssd"):
        load(**unlabelled)
    assert load(**unlabelled, detectors="knn?k=5,ssd").train.labels is None


def test_a_class_that_a_limit_cut_away_is_named(flat):
    with pytest.raises(InputError, match="class 2 .* has no image"):
        load(train_data=f"npz:{flat}/late.npz?limit=61", batch_size=8)


def test_label_free_methods_need_two_views():
    with pytest.raises(InputError, match="views must be >= 2"):
        load(method={"name": "supcon", "params": {"use_labels": False}}, views=1)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Class folders 0..11 with images whose first pixel is the class, and what else holds them."""
    root = tmp_path_factory.mktemp("numbered")
    pixels = np.zeros((12, 8, 8, 3), np.uint8) + np.arange(12, dtype=np.uint8)[:, None, None, None]
    for c, i in np.ndindex(12, 6):
        (root / "train" / str(c)).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        noise[0, 0] = c
        Image.fromarray(noise).save(root / "train" / str(c) / f"{i}.png")
    np.savez(root / "whole.npz", images=pixels, labels=np.arange(12))
    np.savez(root / "some.npz", images=pixels[[2, 11]], labels=[2, 11])
    np.savez(root / "from_1.npz", images=pixels, labels=np.arange(12) + 1)
    np.savez(
        root / "named.npz", images=pixels, labels=np.arange(12), class_names=list("abcdefghijkl")
    )
    np.savez(root / "wide.npz", images=pixels, labels=np.arange(12) + 2**32)
    return root


def load_numbered(root, test, **overrides):
    data = {"train_data": f"folder:{root}/train", "test_data": test, "ood": "far/a=photos?limit=9"}
    return load(**(data | overrides), batch_size=64, detectors="msp")


@pytest.mark.parametrize(
    ("test", "rule"),
    [
        ("folder:{}/train", "labels by number, 12 of 12 classes"),
        ("folder:{}/train?classes=2-11", "labels by number, 10 of 12 classes, no image of 0, 1"),
        ("npz:{}/whole.npz", "labels by number, 12 of 12 classes"),
        ("npz:{}/some.npz", "labels by number, 2 of 12 classes"),
        ("npz:{}/named.npz", "labels in order (a is 0, l is 11)"),
    ],
)
def test_test_images_get_the_numbers_of_their_classes(numbered, test, rule):
    data = load_numbered(numbered, test.format(numbered))
    assert data.train.class_names == tuple(map(str, range(12)))
    assert data.label_rules["id"].startswith(rule)
    assert data.test.labels.tolist() == data.test.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("file", ["from_1.npz", "wide.npz"])
def test_other_numbers_are_refused_wherever_they_are(numbered, file):
    source, fine = f"npz:{numbered}/{file}", f"npz:{numbered}/whole.npz"
    with pytest.raises(InputError, match=f"{file} has labels from"):
        load_numbered(numbered, source)
    with pytest.raises(InputError, match=f"{file} has labels from"):
        load_numbered(numbered, fine, val_data=source)
    shifted = {"ood": f"far/a=photos?limit=9,shifted/b={source}", "full_spectrum": True}
    with pytest.raises(InputError, match=f"{file} has labels from"):
        load_numbered(numbered, fine, **shifted)


def test_shifted_sets_may_lack_a_class(numbered):
    shifted = f"far/a=photos?limit=9,shifted/b=npz:{numbered}/some.npz"
    whole = f"npz:{numbered}/whole.npz"
    data = load_numbered(numbered, whole, ood=shifted, full_spectrum=True)
    assert data.ood["b"].labels.tolist() == [2, 11]
    assert data.label_rules.keys() == {"id", "b"}


def test_a_run_keeps_the_order_it_recorded(numbered):
    """Before folders were sorted by number, 10 came after 1."""
    config = small.config(
        train_data=f"folder:{numbered}/train", test_data=f"npz:{numbered}/whole.npz", ood=""
    )
    as_text = sorted(map(str, range(12)))
    said = []
    then = checks.load_data(config, said.append, as_text)
    assert then.train.class_names == tuple(as_text)
    assert [int(as_text[label]) for label in then.train.labels] == then.train.images[
        :, 0, 0, 0
    ].tolist()
    assert [as_text[label] for label in then.test.labels] == list(map(str, range(12)))
    assert any("order of text, 0, 1, 10, 11" in line for line in said)
    assert checks.load_data(config, class_names=list("abc")).train.class_names[2] == "2"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("eval_mean", (0.5, 0.5, 0.5), "eval_mean and eval_std, or neither"),
        ("augment__crop_scale", (0.5,), "crop_scale must be two numbers"),
        ("ood", "far/train=photos", "train"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("eval_checkpoint", "newest", "last"),
        ("profile", "5", "START:STOP"),
    ],
)
def test_fields_are_checked_before_images_are_read(field, value, words):
    with pytest.raises(InputError, match=words):
        checks.check_config(small.config(**{field: value}))
