"""TANL against recordings of the authors' program, its algorithm in float64, and at its edges."""

import functools

import jax
import numpy as np
import pytest

from adapt_jax import zero_shot_detectors
from adapt_jax.core.grouping import torch_permutation
from adapt_jax.zero_shot_detectors import TextBank, ring, tanl
from tests.zero_shot_detectors import data, oracle

threshold, mean, filled = map(jax.jit, (tanl.threshold, ring.mean, ring.filled))
close = functools.partial(np.testing.assert_allclose, rtol=0)


def recorded_bank(g):
    labels = int(g["num_id"])
    return TextBank(g["text_feats"][:labels], g["text_feats"][labels:])


def contents(memory):
    """The rows of a ring, oldest first."""
    rows = np.roll(memory.rows, -int(memory.head), axis=0)
    return rows[len(rows) - int(memory.size) :]


@pytest.mark.parametrize("case", ["alpha0_gamma1", "queue_gamma2", "beta_beyond", "gamma0"])
def test_recorded_streams(golden, case):
    g = golden(f"tanl_{case}")
    detector = zero_shot_detectors.make(
        "tanl",
        logit_scale=float(g["logit_scale"]),
        alpha=float(g["cfg_alpha"]),
        beta=int(g["cfg_beta"]),
        gamma=int(g["cfg_gamma"]),
        gap=float(g["cfg_gap"]),
        memory_length=int(g["cfg_memleng"]),
        score_memory_length=int(g.get("cfg_score_queue_len", 20_000)),
        seed=int(g["torch_seed"]),
    )
    state = detector.init(recorded_bank(g), g["noise_feats"])
    count = len(g["initial_scores"])
    close(contents(state.scores), g["initial_scores"], atol=1e-5)
    sizes = g["batch_sizes"]
    size, ends = max(sizes), np.cumsum(sizes)
    step = jax.jit(detector.step, donate_argnums=0)  # as a job does
    for i, images in enumerate(np.split(g["image_feats"], ends[:-1])):
        padded = np.full((size, images.shape[1]), np.nan, np.float32)
        padded[: sizes[i]] = images
        got, state = step(state, padded, np.arange(size) < sizes[i])
        close(got[: sizes[i]], g["conf"][ends[i] - sizes[i] : ends[i]], atol=1e-5)
        memories = state.id_activations, state.ood_activations, state.scores
        lengths = [g[f"{name}_len"][i] for name in ("pos", "neg", "scores")]
        assert [int(memory.size) for memory in memories] == lengths
        close(mean(memories[0]), g["pos_mean"][i], atol=1e-6)
        close(mean(memories[1]), g["neg_mean"][i], atol=1e-6)
        got = threshold(state.scores.rows, filled(state.scores))
        close(got, g["threshold"][i], atol=1e-6)
    for memory, name in zip(memories, ("pos_queue", "neg_queue", "scores"), strict=True):
        close(contents(memory), g[f"final_{name}"], atol=1e-5)
    assert count < len(contents(state.scores))


def test_recorded_thresholds(golden):
    g = golden("tanl_threshold")
    cases = [name.removeprefix("scores_") for name in g if name.startswith("scores_")]
    assert len(cases) == 12
    for case in cases:
        recorded = g[f"scores_{case}"]
        scores = np.full(410, np.nan, np.float32)
        scores[5 : 5 + len(recorded)] = recorded
        got = threshold(scores, np.isfinite(scores))
        close(got, g[f"threshold_{case}"], atol=1e-6, err_msg=case)


@pytest.mark.parametrize(
    ("alpha", "gamma", "noisy"), [(0.0, 1, True), (0.7, 0, False), (0.3, 3, True)]
)
def test_streams_equal_the_written_out_algorithm(alpha, gamma, noisy, x64):
    rng = np.random.default_rng(1)
    texts = TextBank(*(data.unit(rows.astype(np.float64)) for rows in data.bank(rng, negatives=30)))
    noise = data.unit(rng.normal(size=(6 if noisy else 0, 16)))
    batches = [data.images(rng, texts, n) for n in (7, 12, 1, 12, 5, 12)]
    detector = zero_shot_detectors.make(
        "tanl", logit_scale=20, alpha=alpha, beta=8, gamma=gamma, gap=0.4, memory_length=4,
        score_memory_length=25, seed=3, without_noise=not noisy,
    )  # fmt: skip
    random = np.random.RandomState(3)
    orders = [torch_permutation(len(rows), random) for rows in (texts.labels, noise)]
    reference = oracle.Tanl(
        *texts, noise, orders, scale=20, alpha=alpha, beta=8, gamma=gamma, gap=0.4, lengths=(4, 25)
    )
    state = detector.start(texts, noise)
    for batch in batches:
        padded = np.full((12, 16), np.nan)
        real = np.sort(rng.permutation(12)[: len(batch)])
        padded[real] = batch
        got, state = detector.step(state, padded, np.isin(np.arange(12), real))
        close(np.asarray(got)[real], reference.step(batch), atol=1e-11)
        close(contents(state.id_activations), reference.own, atol=1e-12)
        close(contents(state.ood_activations), reference.other, atol=1e-12)
        close(contents(state.scores), reference.scores, atol=1e-12)
    assert got.dtype == np.float64
    assert len(reference.scores) == 25


def test_a_batch_of_padding_leaves_no_trace():
    rng = np.random.default_rng(2)
    texts = data.bank(rng)
    detector = zero_shot_detectors.make("tanl", beta=6, memory_length=5, without_noise=True)
    images = data.images(rng, texts, 8).astype(np.float32)
    _, state = detector.step(detector.init(texts), images, np.ones(8, bool))
    nothing = np.full((8, 16), np.inf, np.float32)
    scores, after = detector.step(state, nothing, np.zeros(8, bool))
    jax.tree.map(np.testing.assert_array_equal, after, state)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 0.5}, "gamma must be a whole number"),
        ({"alpha": 2.0}, "alpha must lie"),
        ({"beta": 0}, "beta must be a positive integer"),
        ({"memory_length": 0}, "memory_length must be a positive integer"),
    ],
)
def test_bad_hyper_parameters(change, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_detectors.make("tanl", **change)
