"""ODIN, its one-element variant and AdaSCALE: recordings, what moves, splits, a real network."""

import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from adapt_jax import detectors, models
from adapt_jax.core.arrays import matmul
from adapt_jax.core.blocks import map_rows
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Head, Network, adascale

CIFAR10_STD = np.array([0.2470, 0.2435, 0.2616], np.float32)
ODIN = ["odin_T1000_e0.0014", "odin_T10_e0.0028", "iodin_T1000_e0.0014", "iodin_T1_e0.2"]
ADASCALE = [
    f"adascale_{variant}_{rest}_lam10_o0.05"
    for variant in "al"
    for rest in ("p75-85_k1_50_k2_20", "p60-95_k1_20_k2_10")
]


def run(detector, network, val, *sets, block=20):
    """Scores of every set; `val` is measured first where the detector wants it."""

    def rows(function):
        return partial(map_rows, jax.jit(function), block=block)

    measure = detector.measure and rows(lambda x: detector.measure(network, x))
    state = detector.fit(measure(val[: detector.maximum_val]) if measure else None)
    score = rows(lambda x: detector.score(state, network, x))
    return [score(x) for x in sets]


def tiny(golden):
    """The recorded network, over (N, H, W, channels), and its images."""
    g = golden("input_gradient")
    w1, b1, kernel, bias = g["W1"].T, g["b1"], g["W"].T, g["b"]

    def forward(pixels):
        flat = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        features = jax.nn.relu(matmul(flat, w1) + b1[None])
        return features, matmul(features, kernel) + bias[None]

    images = [g[name].transpose(0, 2, 3, 1) for name in ("val", "test", "far")]
    return g, Network(forward, Head(kernel, bias), CIFAR10_STD), images


def make(case):
    name, numbers = case.split("_")[0], [float(x) for x in re.findall(r"\d+\.?\d*", case)]
    if name != "adascale":
        return detectors.make(name, temperature=numbers[0], noise=numbers[1])
    low, high, _, k1, _, k2, weight, share = numbers
    return detectors.make(
        name, variant=case.split("_")[1], low=low, high=high, feature_percent=k1,
        shift_percent=k2, shift_weight=weight, pixel_fraction=share,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scored(golden):
    """case -> scores of the recorded network's images, computed once."""
    _, network, images = tiny(golden)
    return cache(lambda case: run(make(case), network, *images))


@pytest.mark.parametrize("case", ODIN + ADASCALE)
def test_openood_recordings(golden, scored, case):
    g = golden("input_gradient")
    tolerance = 1e-5 if "adascale" in case else 2e-6
    for part, scores in zip(("test", "far"), scored(case), strict=True):
        expected = g[f"{case}__{part}"]
        scale = np.abs(expected).max() if "adascale" in case else 1.0
        assert np.abs(scores - expected).max() <= tolerance * scale


@pytest.mark.parametrize("case", [ODIN[3], ADASCALE[1]])
def test_any_split_gives_the_same_scores(golden, scored, case):
    _, network, (val, test, _) = tiny(golden)
    (by_seven,) = run(make(case), network, val, test, block=7)
    np.testing.assert_allclose(by_seven, scored(case)[0], rtol=1e-5)


def steps(detector, pixels, weights):
    """How far each pixel moves under a linear network without a bias."""
    head = Head(weights, np.zeros(weights.shape[1], np.float32))

    @jax.jit
    def moved(pixels):
        seen = []

        def forward(pixels):
            seen.append(pixels)
            features = pixels.reshape(len(pixels), -1)
            return features, features @ weights

        network = Network(forward, head, np.array([0.5, 0.25], np.float32))
        if detector.measure:
            detector.measure(network, pixels)
        else:
            detector.score(detector.fit(None), network, pixels)
        return seen[-1]

    return (np.asarray(moved(pixels)) - pixels).reshape(len(pixels), -1)


def test_what_moves_and_how_far():
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(3, 4, 5, 2)).astype(np.float32)
    weights = rng.normal(size=(40, 6)).astype(np.float32)
    weights[:3] = 0  # these pixels have no gradient
    best = np.argmax(pixels.reshape(3, -1) @ weights, axis=1)
    p = scipy.special.softmax(pixels.reshape(3, -1) @ weights, axis=1)
    ce_gradient = (p - np.eye(6)[best]) @ weights.T  # (3, 40)
    unit = np.tile([0.2, 0.4], 20)  # noise / std

    moved = steps(detectors.make("odin", temperature=1, noise=0.1), pixels, weights)
    np.testing.assert_allclose(moved, -unit * np.where(ce_gradient >= 0, 1, -1), atol=1e-6)
    np.testing.assert_allclose(moved[:, :3], -unit[None, :3].repeat(3, 0), atol=1e-6)

    moved = steps(detectors.make("iodin", temperature=1, noise=0.1), pixels, weights)
    largest = np.abs(ce_gradient) == np.abs(ce_gradient).max(1, keepdims=True)
    np.testing.assert_allclose(moved, -unit * np.sign(ce_gradient) * largest, atol=1e-6)

    moved = steps(detectors.make("adascale", pixel_fraction=0.26), pixels, weights)
    gradient = weights.T[best]
    chosen = np.argsort(np.abs(gradient), axis=1)[:, :10]  # 26 % of 40, rounded down
    expected = np.zeros((3, 40))
    np.put_along_axis(expected, chosen, 0.5 * np.sign(np.take_along_axis(gradient, chosen, 1)), 1)
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    assert (np.abs(moved) > 0.4).sum() == 3 * 7  # three of the ten have no gradient


def test_the_smallest_entries_are_those_of_a_sort(x64):
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=(4, 60))) * 10.0 ** rng.integers(-30, 30, size=(4, 60))
    values[0, :9], values[1, :20], values[2] = 0.0, 3.5, 1.0
    counts = (1, 5, 20, 60)
    smallest = jax.jit(lambda v: [adascale._smallest(v, k) for k in (*counts, 0)])
    for dtype in (np.float32, np.float64):
        v = values.astype(dtype)
        *found, none = smallest(v)
        for k, chosen in zip(counts, found, strict=True):
            np.testing.assert_array_equal(chosen, v <= np.sort(v, axis=1)[:, k - 1 : k])
        np.testing.assert_array_equal(none, v == 0)


@pytest.mark.parametrize("variant", ["a", "l"])
def test_adascale_percentile_runs_from_high_to_low(variant):
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(20, 4)), rng.normal(size=4)
    features = np.maximum(rng.normal(size=(1, 20)), 0)
    features[0, :4] += 1
    head = Head(kernel.astype(np.float32), bias.astype(np.float32))
    detector = detectors.make("adascale", variant=variant, low=70, high=90, pixel_fraction=0)
    network = Network(lambda x: (x, matmul(x, head.kernel) + head.bias[None]), head, np.ones(20))
    pixels = features.astype(np.float32)
    q = float(jax.jit(lambda x: detector.measure(network, x))(pixels)[0])
    assert q == pytest.approx(features.max(), rel=1e-6)  # 5 % of 20; nothing moved

    # F is right-continuous: 0, 1/4 (percentile 85) and 1 of four validation images are at most q.
    scores = jax.jit(lambda state, x: detector.score(state, network, x))
    for measured, k in (([9, 9, 8, 7], 2), ([q, 9, 8, 7], 3), ([0, 0, q, q], 6)):
        state = detector.fit(np.asarray(measured, np.float32))
        ratio = features.sum() / np.sort(features[0])[-k:].sum()
        a = np.exp(ratio) * features @ kernel + bias
        logits = a if variant == "a" else (features @ kernel + bias) * ratio**2
        score = scores(state, pixels)
        np.testing.assert_allclose(score, np.log(np.exp(logits).sum(1)), rtol=1e-5)

    nothing = scores(state, np.zeros((1, 20), np.float32))
    np.testing.assert_allclose(nothing, np.log(np.exp(bias).sum()), rtol=1e-5)


def test_a_residual_network_in_evaluation_mode():
    model = models.make("resnet18", width=4, blocks=(1, 1, 0, 0), head="linear", num_classes=5)
    variables = model.init(jax.random.key(0), (16, 16, 3))
    rng = np.random.default_rng(0)
    variables["batch_stats"] = jax.tree.map(
        lambda x: x + rng.uniform(-0.2, 0.2, x.shape).astype(np.float32), variables["batch_stats"]
    )

    def forward(pixels):
        outputs, _ = model.apply(variables, pixels, train=False)
        return outputs.features, outputs.logits

    network = Network(forward, Head(*model.classifier(variables)), CIFAR10_STD)
    images = rng.normal(size=(12, 16, 16, 3)).astype(np.float32)

    def largest(x):
        logits = forward(x)[1]
        return logits.max(-1).sum(), jax.nn.softmax(logits).max(-1)

    gradient, plain = jax.jit(jax.grad(largest, has_aux=True))(images)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=(1, 2, 3)) > 0).all()
    for name, hp in (
        ("odin", {"temperature": 1}),
        ("adascale", {"feature_percent": 50, "shift_percent": 20}),
    ):
        scores, reverse = run(
            detectors.make(name, **hp), network, images, images, images[::-1], block=4
        )
        assert np.isfinite(scores).all()
        assert np.ptp(scores) > 0
        np.testing.assert_allclose(reverse[::-1], scores, rtol=1e-5)
        if name == "odin":  # the step raises the confidence
            assert (scores > plain).all()


def test_what_is_refused():
    for hp, message in (
        ({"low": 0}, "0 < low <= high < 100, got low=0, high=85"),
        ({"high": 100}, "high=100"),
        ({"low": 90}, "low=90"),
        ({"variant": "b"}, "must be 'a' or 'l', got 'b'"),
        ({"feature_percent": 101}, r"feature_percent must lie in \[0, 100\], got 101"),
        ({"shift_percent": -1}, "shift_percent"),
        ({"pixel_fraction": 5}, "pixel_fraction"),
        ({"shift_weight": -1}, "shift_weight"),
    ):
        with pytest.raises(ValueError, match=message):
            detectors.make("adascale", **hp)
    for name in ("odin", "iodin"):
        with pytest.raises(ValueError, match="temperature must be positive"):
            detectors.make(name, temperature=0)
        with pytest.raises(ValueError, match="noise must not be negative"):
            detectors.make(name, noise=-0.1)
    detector = detectors.make("adascale")
    assert "val" in detector.needs
    for nothing in (None, np.zeros(0)):
        with pytest.raises(InputError, match="needs held-out ID images"):
            detector.fit(nothing)
    with pytest.raises(InputError, match="2 of 3 validation images gave NaN"):
        detector.fit(np.array([1, np.nan, np.inf]))
    network = Network(lambda x: (x, x), Head(np.eye(2), np.zeros(2)), CIFAR10_STD)
    with pytest.raises(InputError, match=r"std has shape \(3,\), but pixels \(4, 2\)"):
        detectors.make("odin").score((), network, jnp.zeros((4, 2)))
