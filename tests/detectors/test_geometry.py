"""Scores from features and the classifier's geometry: recordings, float64 oracles, refusals."""

import re

import numpy as np
import pytest
import scipy.linalg
from scipy.special import logsumexp, softmax

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Head, Outputs

PARTS = ("test", "near", "far")
C10, C100 = "posthoc_c10_d64", "posthoc_c100_d32"
FIRST = {"bank": "first", "batch_size": 50}  # how the recordings were made

RECORDED = [  # name in both files, detector, hyper-parameters, tolerance
    ("rmds", "rmds", {}, 1e-5),
    ("she_inner_product", "she", {}, 2e-6),
    ("she_cosine", "she", {"metric": "cosine"}, 2e-6),
    ("she_euclidean", "she", {"metric": "euclidean"}, 2e-6),
    ("fdbd_center1", "fdbd", {}, 5e-6),
    ("fdbd_center0", "fdbd", {"centered": False}, 5e-6),
    ("nci_a0.01", "nci", {"alpha": 0.01}, 2e-6),
    ("gradnorm", "gradnorm", {}, 5e-6),
    ("relation_pow1", "relation", {}, 1e-5),
    ("relation_pow4", "relation", {"power": 4}, 1e-5),
]
ONE_FILE = [
    *[(C10, f"vim_d{d}", "vim", {"dim": d}, 1e-4) for d in (8, 16, 32)],
    *[(C10, f"residual_d{d}", "residual", {"dim": d}, 1e-5) for d in (8, 16, 32)],
    *[(C100, f"vim_d{d}", "vim", {"dim": d}, 3e-4) for d in (8, 24)],
    *[(C100, f"residual_d{d}", "residual", {"dim": d}, 1e-4) for d in (8, 24)],
    (C10, "nnguide_K10_a1.0", "nnguide", {"k": 10, "alpha": 1.0}, 2e-6),
    (C10, "nnguide_K100_a1.0", "nnguide", {"alpha": 1}, 2e-6),
    (C10, "nnguide_K10_a0.2", "nnguide", {"k": 10, "alpha": 0.2, **FIRST}, 2e-6),
    (C100, "nnguide_K5_a1.0", "nnguide", {"k": 5, "alpha": 1.0}, 2e-6),
    (C100, "nnguide_K20_a0.3", "nnguide", {"k": 20, "alpha": 0.3, **FIRST}, 2e-6),
]
CASES = [(file, *case) for file in (C10, C100) for case in RECORDED] + ONE_FILE


def _outputs(features, head, labels=None):
    return Outputs(features, features @ head.kernel + head.bias, labels)


def _close(got, expected, tolerance):
    """Largest deviation relative to the largest score of the set."""
    expected = np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
    ("file", "recorded", "name", "hp", "tolerance"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES]
)
def test_openood_recordings(golden, file, recorded, name, hp, tolerance):
    g = golden(file)
    head = Head(g["W"].T, g["b"])
    train, val = (_outputs(g[part], head, g[f"y_{part}"]) for part in ("train", "val"))
    detector = detectors.make(name, **hp)
    state = detector.fit(train, val, head)
    for part in PARTS:
        scores = detector.score(state, _outputs(g[part], head))
        expected = g[f"{recorded}__{part}"]
        assert scores.dtype == np.float32
        if name == "relation":  # a relation within rounding of 0.03 counts or does not
            off = np.abs(scores - expected) > tolerance * np.abs(expected).max()
            assert np.count_nonzero(off) <= 2
            scores = np.where(off, scores.clip(expected - 0.031, expected + 0.031), scores)
            expected = np.where(off, scores, expected)
        _close(scores, expected, tolerance)
    if name == "vim":
        np.testing.assert_allclose(state.alpha, g[f"{recorded}__alpha"], rtol=1e-5)


def _problem(n=300, d=12, rank=7, classes=5, kind="dead", seed=0):
    """Features of a lower rank than D: channels that never fire, or a subspace across them all.

    Exactly so: products of short binary fractions, which float32 holds without rounding.
    """
    rng = np.random.default_rng(seed)
    mixing = np.eye(rank, d) if kind == "dead" else rng.integers(-2, 3, size=(rank, d)) / 4
    labels = np.arange(n) % classes
    centers = 3 * rng.normal(size=(classes, rank))
    spread = np.geomspace(1, 0.2, rank)

    def draw(labels, scale=1.0):
        latent = centers[labels] + scale * rng.normal(size=(len(labels), rank)) * spread
        return (np.round(latent * 256) / 256 @ mixing).astype(np.float32)

    train, val, rows = draw(labels), draw(labels[:150]), draw(labels[:90], 2.0)
    means = np.stack([train[labels == c].mean(axis=0) for c in range(classes)])
    head = Head(means.T, -0.5 * np.sum(means**2, axis=1))
    # The last 30 rows leave the space of the training set.
    rows[60:] += rng.normal(size=(30, d)).astype(np.float32)
    return _outputs(train, head, labels), _outputs(val, head), _outputs(rows, head), head


def _quadratic(x, mean, precision):
    return np.einsum("nd,de,ne->n", x - mean, precision, x - mean)


def _rmds_oracle(train, labels, rows):
    train, rows = train.astype(np.float64), rows.astype(np.float64)
    means = np.stack([train[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    precision = scipy.linalg.pinvh(np.cov((train - means[labels]).T, bias=True))
    distances = np.stack([_quadratic(rows, mean, precision) for mean in means])
    whole = scipy.linalg.pinvh(np.cov(train.T, bias=True))
    return _quadratic(rows, train.mean(axis=0), whole) - distances.min(axis=0)


def _residual_oracle(fitted, rows, head, dim):
    kernel, bias = (x.astype(np.float64) for x in head)
    origin = -np.linalg.pinv(kernel.T, rcond=1e-13) @ bias
    centred = fitted.astype(np.float64) - origin
    _, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    return np.linalg.norm((rows.astype(np.float64) - origin) @ vectors[:, :-dim], axis=1)


@pytest.mark.parametrize("kind", ["dead", "subspace"])
def test_rank_deficient_features_against_float64(kind):
    train, val, rows, head = _problem(kind=kind)
    detector = detectors.make("rmds")
    expected = _rmds_oracle(train.features, train.labels, rows.features)
    _close(detector.score(detector.fit(train), rows), expected, 2e-5)

    detector = detectors.make("residual", dim=5)
    expected = -_residual_oracle(val.features, rows.features, head, 5)
    _close(detector.score(detector.fit(train, val, head), rows), expected, 1e-5)

    detector = detectors.make("vim", dim=5)
    state = detector.fit(train, None, head)
    lengths = _residual_oracle(train.features, train.features, head, 5)
    alpha = train.logits.max(axis=1).mean() / lengths.mean()
    np.testing.assert_allclose(state.alpha, alpha, rtol=1e-5)
    lengths = _residual_oracle(train.features, rows.features, head, 5)
    _close(detector.score(state, rows), logsumexp(rows.logits, axis=1) - alpha * lengths, 1e-5)


def test_rmds_of_unit_features():
    train, _, rows, _ = _problem(kind="subspace")
    detector = detectors.make("rmds", normalize=True)
    both = (train.features, rows.features)
    unit = [x / np.linalg.norm(x.astype(np.float64), axis=1)[:, None] for x in both]
    expected = _rmds_oracle(unit[0], train.labels, unit[1])
    _close(detector.score(detector.fit(train), rows), expected, 1e-5)


def test_a_bank_of_several_blocks():
    """5,300 rows are two blocks, the second mostly padding."""
    rng = np.random.default_rng(0)
    bank, rows = rng.normal(size=(5300, 6)), rng.normal(size=(40, 6))
    bank_logits, logits = 2 * rng.normal(size=(5300, 4)) - 3, rng.normal(size=(40, 4))  # E < 0, too
    train, test = (
        Outputs(f.astype(np.float32), l.astype(np.float32))
        for f, l in ((bank, bank_logits), (rows, logits))
    )
    bank, rows = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, rows))
    guided = np.sort((rows @ bank.T) * logsumexp(bank_logits, axis=1), axis=1)[:, -9:].mean(axis=1)
    detector = detectors.make("nnguide", k=9, alpha=1.0)
    _close(detector.score(detector.fit(train), test), guided * logsumexp(logits, axis=1), 1e-6)
    relation = np.maximum(rows @ bank.T, 0) * (softmax(logits, 1) @ softmax(bank_logits, 1).T)
    expected = np.sum(np.where(relation > 0.03, relation, 0) ** 1.5, axis=1)
    detector = detectors.make("relation", power=1.5)
    # A relation within rounding of 0.03 counts or does not: 0.03^1.5 of a score of 100.
    _close(detector.score(detector.fit(train), test), expected, 2e-4)


def test_nnguide_draws_its_bank_from_everywhere():
    train, _, rows, _ = _problem()

    def scores(train, **hp):
        detector = detectors.make("nnguide", k=5, alpha=0.2, **hp)
        return detector.score(detector.fit(train), rows)

    assert np.array_equal(scores(train), scores(train, seed=0))
    assert not np.array_equal(scores(train), scores(train, seed=1))
    by_class = Outputs(*(x[np.argsort(train.labels, kind="stable")] for x in train))
    first = scores(by_class, bank="first", batch_size=50)  # 100 images of 2 of the classes
    assert np.median(np.abs(scores(by_class) - scores(train))) < np.median(
        np.abs(first - scores(train))
    )
    state = detectors.make("nnguide", k=5, alpha=0.2).fit(train)
    assert state.rows.shape == (1, 60, 12)


VARIANTS = [
    ("rmds", {}), ("vim", {"dim": 5}), ("residual", {"dim": 5}), ("she", {"metric": "cosine"}),
    ("nnguide", {"k": 9, "alpha": 0.5}), ("relation", {"power": 2}), ("fdbd", {}),
    ("nci", {}), ("gradnorm", {}),
]  # fmt: skip
each = pytest.mark.parametrize(("name", "hp"), VARIANTS, ids=[v[0] for v in VARIANTS])


@each
def test_any_split_gives_the_same_bits(name, hp):
    train, val, rows, head = _problem(n=900)
    detector = detectors.make(name, **hp)
    state = detector.fit(train, val, head)
    whole = detector.score(state, train)
    parts = [
        detector.score(state, Outputs(train.features[i : i + 333], train.logits[i : i + 333]))
        for i in range(0, 900, 333)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(900)
    shuffled = Outputs(train.features[order], train.logits[order])
    np.testing.assert_array_equal(detector.score(state, shuffled), whole[order])


@each
def test_only_what_it_needs_and_says_so(name, hp):
    train, val, rows, head = _problem()
    detector = detectors.make(name, **hp)
    needs = detector.needs

    def keep(o):
        return Outputs(o.features, o.logits if "logits" in needs else None, o.labels)

    given = keep(train) if "labels" in needs else keep(train)._replace(labels=None)
    kwargs = {"val": keep(val), "head": head}
    kwargs = {key: value for key, value in kwargs.items() if key in needs}
    assert np.isfinite(detector.score(detector.fit(given, **kwargs), keep(rows))).all()
    for key in kwargs:
        with pytest.raises(InputError, match=rf"{name}.fit: needs .* got {key}=None"):
            detector.fit(given, **(kwargs | {key: None}))
    if "labels" in needs:
        with pytest.raises(InputError, match=f"{name}.fit: needs the labels"):
            detector.fit(given._replace(labels=None), **kwargs)
    if "logits" in needs:
        with pytest.raises(InputError, match=f"{name}.score: needs logits"):
            detector.score(detector.fit(given, **kwargs), rows._replace(logits=None))
    broken = rows._replace(features=np.where(rows.features > 1, np.nan, rows.features))
    with pytest.raises(InputError, match=f"{name}.score: .* of 90 feature rows hold NaN"):
        detector.score(detector.fit(given, **kwargs), broken)


@each
def test_float64_stays_float64(x64, name, hp):
    train, val, rows, head = _problem()
    detector = detectors.make(name, **hp)
    single = detector.score(detector.fit(train, val, head), rows)
    wide = [Outputs(*(x if x is None else x.astype(float) for x in o)) for o in (train, val, rows)]
    wide[0] = wide[0]._replace(labels=train.labels)
    double = detector.score(detector.fit(wide[0], wide[1], head), wide[2])
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    _close(single, double, 1e-4)


@each
def test_a_feature_of_zeros(name, hp):
    train, val, _, head = _problem()
    zeros = _outputs(np.zeros((2, 12), np.float32), head)
    detector = detectors.make(name, **hp)
    score = detector.score(detector.fit(train, val, head), zeros)
    assert np.isfinite(score).all()
    if name in ("she", "nnguide", "relation", "gradnorm"):
        assert not score.any()


def test_degenerate_divisors():
    train, _, rows, head = _problem()
    mean = train.features.mean(axis=0, dtype=np.float64).astype(np.float32)[None]
    nci = detectors.make("nci", alpha=0.25)
    score = nci.score(nci.fit(train, None, head), _outputs(mean, head))
    np.testing.assert_allclose(score, 0.25 * np.abs(mean).sum(), rtol=1e-5)
    fdbd = detectors.make("fdbd")
    with pytest.raises(InputError, match="1 of 1 features are equal to the training mean"):
        fdbd.score(fdbd.fit(train, None, head), _outputs(mean, head))
    fdbd = detectors.make("fdbd", centered=False)
    dead = rows.features.copy()
    dead[[3, 8]] = 0
    with pytest.raises(InputError, match="2 of 90 features are zero .* first is row 3"):
        fdbd.score(fdbd.fit(train, None, head), rows._replace(features=dead))
    twins = Head(head.kernel[:, [0, 1, 2, 3, 1]], head.bias)
    with pytest.raises(InputError, match="classes 1 and 4 have the same weights"):
        fdbd.fit(train, None, twins)


@pytest.mark.parametrize(
    ("name", "hp", "match"),
    [
        ("vim", {}, "dim=256 leaves nothing of 12 features"),
        ("residual", {"dim": 12}, "dim=12 leaves nothing of 12 features"),
        ("vim", {"dim": 8}, "the training features span 7 dim.* too few for dim=8; .* up to 6"),
        ("vim", {"dim": 7}, "up to 6"),
        ("residual", {"dim": 8}, "the held-out features span 7 dimensions"),
        ("nnguide", {}, "k=100 exceeds the bank of 3 of the 300 training images"),
        ("nnguide", {"bank": "first", "k": 201}, "k=201 exceeds the bank of 200"),
    ],
)
def test_more_than_the_data_hold(name, hp, match):
    train, val, _, head = _problem()
    with pytest.raises(InputError, match=f"{name}.fit: .*{match}"):
        detectors.make(name, **hp).fit(train, val, head)


def test_she_needs_a_pattern_for_every_class():
    train, *_ = _problem()
    logits = train.logits.copy()
    logits[:, [1, 3]] -= 1e4
    with pytest.raises(InputError, match=r"class 1 \(and 1 more\) of 5 has no correctly"):
        detectors.make("she").fit(train._replace(logits=logits))


def test_rmds_needs_a_spread():
    train, *_ = _problem()
    collapsed = train._replace(features=train.features[train.labels])
    with pytest.raises(InputError, match="rmds.fit: the covariance is zero: .* are identical"):
        detectors.make("rmds").fit(collapsed)


@pytest.mark.parametrize(
    ("name", "hp", "match"),
    [
        ("vim", {"dim": 0}, "dim must be a positive integer"),
        ("residual", {"dim": 1.5}, "dim must be a positive integer"),
        ("she", {"metric": "dot"}, "metric must be one of inner_product, cosine, euclidean"),
        ("nnguide", {"alpha": 0}, "alpha must lie in (0, 1]"),
        ("nnguide", {"bank": "last"}, "bank must be one of random, first"),
        ("nnguide", {"seed": -1}, "seed must be an integer of at least 0"),
        ("relation", {"power": 0}, "power must be positive"),
        ("nci", {"alpha": -1}, "alpha must not be negative"),
    ],
)
def test_hyper_parameters_out_of_range(name, hp, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        detectors.make(name, **hp)
