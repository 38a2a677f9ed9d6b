"""A network that has hardly learnt is recognised by its features or by its results."""

import numpy as np
import pytest

from adapt_jax.inference import learning

LABELS = np.arange(300) % 10
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(300, 16))
GOOD = 5 * np.eye(10, 16)[LABELS] + 0.1 * NOISE
FLAT = NOISE * np.array([5.0, 5.0, 4.0] + 13 * [0.1])  # whatever the label


def rows(*means):
    return [{"ood": ood, "auroc": m} for m in means for ood in ("a set", "mean")]


def test_effective_rank():
    assert learning.effective_rank(np.diag([1.0, 1, 1, 1])) == pytest.approx(3)  # less the mean
    assert learning.effective_rank(np.outer(np.arange(5), np.ones(3))) == pytest.approx(1)
    assert learning.effective_rank(np.ones((4, 3))) == 0
    few, many = NOISE[:10], np.concatenate([NOISE[:10]] * 4)  # by either product
    assert learning.effective_rank(few) == pytest.approx(learning.effective_rank(many))


@pytest.mark.parametrize(
    ("features", "labels", "means", "words"),
    [
        (GOOD, LABELS, [0.9, 0.5], []),
        (GOOD, LABELS, [], []),
        (FLAT, LABELS, [0.9], ["features of 10 classes have an effective rank of 2."]),
        (GOOD, LABELS, [0.52, 0.31], ["no detector has an AUROC above 0.52, chance is 0.50"]),
        (FLAT, LABELS, [0.5], ["effective rank", "AUROC"]),
        (FLAT, None, [0.9], []),  # nobody knows how many directions there should be
        (FLAT, LABELS % 2, [0.9], []),
        (FLAT * np.nan, LABELS, [0.9], []),  # which other checks say
    ],
)
def test_signs(features, labels, means, words):
    train = {"features": features} | ({} if labels is None else {"labels": labels})
    signs = learning.signs(train, rows(*means))
    assert bool(signs) == bool(words)
    assert all(word in signs for word in words)
