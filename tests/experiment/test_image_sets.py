"""What a run refuses about its images, before training."""

import numpy as np
import pytest

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
