"""Accuracies of frozen features: by hand, and where the two probes must disagree."""

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Outputs
from adapt_jax.inference import probes


def outputs(rows, labels=None):
    labels = None if labels is None else np.asarray(labels, np.int32)
    return Outputs(np.asarray(rows, np.float32), None, labels)


# Class 0 lies along x, class 1 along y; lengths differ wildly, and only directions count.
TRAIN = outputs([[100, 1], [1, 0.1], [0.1, 1], [1, 50]], [0, 0, 1, 1])


def test_nearest_mean_by_hand():
    test = outputs([[1, 0.9], [0.9, 1], [1000, 1], [0, 3], [1, 0]], [0, 1, 1, 1, 0])
    assert probes.nearest_mean_accuracy(TRAIN, test) == 4 / 5


def test_means_are_of_unit_rows_and_compared_by_direction():
    # Raw mean of class 0 would be (33.4, 66.9) and lose (1, 0.4); of unit rows it is (.67, .33).
    train = outputs([[1, 0], [0.2, 0], [99, 200], [0, 1]], [0, 0, 0, 1])
    assert probes.nearest_mean_accuracy(train, outputs([[1, 0.4]], [0])) == 1.0
    # Class 0 is spread over directions, so its mean is short; direction decides, not the product.
    train = outputs([[1, 1], [1, -1], [0.6, 0.8]], [0, 0, 1])
    assert probes.nearest_mean_accuracy(train, outputs([[1, 0.45]], [0])) == 1.0


def test_nearest_mean_against_float64():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 7
    rows = rng.normal(size=(200, 5)) + 1.5 * rng.normal(size=(7, 5))[labels]
    train, test = outputs(rows[:140], labels[:140]), outputs(rows[140:], labels[140:])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = np.stack([unit[:140][labels[:140] == c].mean(0) for c in range(7)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    wanted = np.mean((unit[140:] @ means.T).argmax(1) == labels[140:])
    assert 0.3 < wanted < 1.0
    assert probes.nearest_mean_accuracy(train, test) == wanted


def test_a_linear_probe_sees_what_no_mean_direction_shows():
    """Two classes in one direction that differ in a channel a thousand times smaller."""
    rng = np.random.default_rng(1)
    labels = np.arange(120) % 2
    rows = np.stack([1 + 0.3 * rng.random(120), 1e-3 * (labels + 0.1 * rng.random(120))], axis=1)
    shuffled = rows * rng.uniform(0.5, 2.0, (120, 1))
    train, test = outputs(rows[:80], labels[:80]), outputs(rows[80:], labels[80:])
    assert probes.linear_probe_accuracy(train, test) == 1.0
    noise = outputs(shuffled[80:], 1 - labels[80:])
    assert probes.linear_probe_accuracy(train, noise) < 0.5


def test_linear_probe_equals_the_minimum_of_its_loss():
    """Softmax regression solved here by gradient descent gives the same predictions."""
    rng = np.random.default_rng(2)
    labels = np.arange(90) % 3
    rows = rng.normal(size=(90, 4)) + rng.normal(size=(3, 4))[labels]
    x = (rows[:60] - rows[:60].mean(0)) / rows[:60].std(0)
    kernel, bias = np.zeros((4, 3)), np.zeros(3)
    for _ in range(3000):
        logits = x @ kernel + bias
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        error = (p - np.eye(3)[labels[:60]]) / 60
        kernel -= 0.5 * (x.T @ error + kernel / 60)
        bias -= 0.5 * error.sum(0)
    z = (rows[60:] - rows[:60].mean(0)) / rows[:60].std(0)
    wanted = np.mean((z @ kernel + bias).argmax(1) == labels[60:])
    assert 0.4 < wanted < 1.0
    train, test = outputs(rows[:60], labels[:60]), outputs(rows[60:], labels[60:])
    assert probes.linear_probe_accuracy(train, test) == wanted


def test_a_dead_channel_does_no_harm():
    wide = TRAIN._replace(features=np.pad(TRAIN.features, ((0, 0), (0, 2))))
    assert probes.linear_probe_accuracy(wide, wide) == 1.0
    assert probes.nearest_mean_accuracy(wide, wide) == 1.0


@pytest.mark.parametrize("probe", [probes.nearest_mean_accuracy, probes.linear_probe_accuracy])
def test_bad_sets_are_named(probe):
    name = probe.__name__
    with pytest.raises(InputError, match=f"{name} on the training set: needs the labels"):
        probe(TRAIN._replace(labels=None), TRAIN)
    with pytest.raises(InputError, match=f"{name}: needs one label per test image"):
        probe(TRAIN, TRAIN._replace(labels=None))
    with pytest.raises(InputError, match="test set: features have 3 dimensions"):
        probe(TRAIN, outputs(np.ones((2, 3)), [0, 1]))
    broken = TRAIN.features.copy()
    broken[1, 1] = np.nan
    with pytest.raises(InputError, match="test set: 1 of 4 feature rows hold NaN"):
        probe(TRAIN, TRAIN._replace(features=broken))


def test_one_class_cannot_be_probed():
    one = outputs(np.ones((3, 2)), [0, 0, 0])
    with pytest.raises(InputError, match="one class"):
        probes.linear_probe_accuracy(one, one)
