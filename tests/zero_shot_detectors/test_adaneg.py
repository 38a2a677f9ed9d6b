"""AdaNeg against its own algorithm written out in float64, and at its edges."""

import jax
import numpy as np
import pytest

from adapt_jax import zero_shot_detectors
from adapt_jax.core import grouping
from adapt_jax.zero_shot_detectors import TextBank
from adapt_jax.zero_shot_detectors.memory import empty, write
from tests.zero_shot_detectors import data, oracle

offer = jax.jit(write)
SETTINGS = {"groups": 3, "memory_length": 3, "threshold": 0.6, "gap": 0.3, "lambda_": 0.4}


def run(detector, texts, batches, size, filler=0.0):
    """Steps over batches padded to `size` with rows of `filler`: scores of real rows, state."""
    state, scores = detector.init(texts), []
    for batch in batches:
        padded = np.full((size, batch.shape[1]), filler, batch.dtype)
        real = np.sort(np.random.default_rng(len(batch)).permutation(size)[: len(batch)])
        padded[real] = batch
        got, state = detector.step(state, padded, np.isin(np.arange(size), real))
        scores.append(np.asarray(got)[real])
    return scores, state


@pytest.mark.parametrize(("proxy", "paper"), [("task", True), ("sample", True), ("sample", False)])
def test_streams_equal_the_written_out_algorithm(proxy, paper, x64):
    rng = np.random.default_rng(1)
    texts = TextBank(*(rows.astype(np.float64) for rows in data.bank(rng)))
    texts = TextBank(*map(data.unit, texts))
    batches = [data.images(rng, texts, n) for n in (7, 12, 1, 12, 5, 12, 9)]
    detector = zero_shot_detectors.make(
        "adaneg", proxy=proxy, beta=2.7, fill_all_slots=paper, truncate_beta=not paper, **SETTINGS
    )
    scores, state = run(detector, texts, batches, 12, np.nan)
    groups = grouping.split(13, 3, 0)
    reference = oracle.AdaNeg(
        *texts, groups, 3 if paper else 2, 0.6, 0.3, 2.7 if paper else 2, 0.4, proxy
    )
    for batch, got in zip(batches, scores, strict=True):
        np.testing.assert_allclose(got, reference.step(batch), atol=1e-11, rtol=0)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(state.memory.count, [len(rows) for rows in reference.memory])
    assert np.sum(state.memory.count == (3 if paper else 2)) >= 3  # some classes were full
    for c, stored in enumerate(reference.memory):
        for slot, (_, image) in enumerate(stored):
            np.testing.assert_array_equal(state.memory.images[c, slot], image)


def test_both_proxies_give_the_sum_of_their_scores():
    rng = np.random.default_rng(3)
    texts = data.bank(rng)
    batches = [data.images(rng, texts, n).astype(np.float32) for n in (12, 9, 12)]
    found = {}
    for proxy in ("task", "sample", "both"):
        detector = zero_shot_detectors.make("adaneg", proxy=proxy, score="adaptive", **SETTINGS)
        found[proxy] = np.concatenate(run(detector, texts, batches, 12)[0])
    np.testing.assert_allclose(found["both"], found["task"] + found["sample"], atol=1e-6)
    assert np.abs(found["task"] - found["sample"]).max() > 1e-3


def test_proxies_that_are_built_have_the_cosines_that_are_scored():
    rng = np.random.default_rng(4)
    texts = data.bank(rng)
    batches = [data.images(rng, texts, n).astype(np.float32) for n in (12, 9, 12)]
    detector = zero_shot_detectors.make("adaneg", proxy="both", logit_scale=2.0, **SETTINGS)
    _, state = run(detector, texts, batches, 12)
    filled = np.asarray(state.memory.count)
    classes = np.r_[np.flatnonzero(filled)[:5], np.flatnonzero(filled == 0)[:2]]
    images = batches[0][: len(classes)]
    task, sample = map(np.asarray, jax.jit(detector.insight.proxies)(state, classes, images))
    np.testing.assert_allclose(task, np.asarray(state.proxies)[classes], atol=1e-6)
    logits = np.asarray(jax.jit(detector.insight.logits)(state, images))  # of the sample proxies
    cosines = np.einsum("kd,kd->k", sample, images)
    np.testing.assert_allclose(2 * cosines, logits[classes, np.arange(len(classes))], atol=1e-5)
    np.testing.assert_allclose(sample[5:], np.concatenate(texts)[classes[5:]], atol=1e-6)
    assert np.abs(sample[:5] - task[:5]).max() > 1e-3


def test_padding_and_the_last_state_do_not_matter():
    rng = np.random.default_rng(2)
    texts = data.bank(rng)
    batches = [data.images(rng, texts, n).astype(np.float32) for n in (12, 4, 12)]
    detector = zero_shot_detectors.make("adaneg", adaptive_gap=True, proxy="sample", **SETTINGS)
    zeros, first = run(detector, texts, batches, 12)
    garbage, second = run(detector, texts, batches, 12, np.nan)
    jax.tree.map(np.testing.assert_array_equal, (zeros, first), (garbage, second))

    pushed = int(first.window.size) - 200
    assert 0 < pushed <= 28  # padding has no vote
    nothing = np.full((12, 16), np.inf, np.float32)
    scores, after = detector.step(first, nothing, np.zeros(12, bool))
    jax.tree.map(np.testing.assert_array_equal, after, first)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("silent", [{"threshold": 1.0, "gap": 1.0}, {"memory_length": 1}])
def test_without_images_to_remember_all_scores_are_neglabels(silent):
    rng = np.random.default_rng(3)
    texts = data.bank(rng)
    batch = data.images(rng, texts, 12).astype(np.float32)
    neglabel = zero_shot_detectors.make("neglabel", groups=3)
    expected, _ = neglabel.step(neglabel.init(texts), batch, np.ones(12, bool))
    score = "adaptive" if "gap" in silent else "static"
    detector = zero_shot_detectors.make("adaneg", groups=3, proxy="sample", score=score, **silent)
    (got,), state = run(detector, texts, [batch], 12)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert not np.any(state.memory.count)


def test_memory_is_that_of_a_loop():
    """Many images for few classes, many equal entropies: the turns within a batch matter."""
    rng = np.random.default_rng(4)
    memory, stored = empty(4, 3, 1, np.float32), [[] for _ in range(4)]
    taken_late = 0
    for batch in range(6):
        images = np.arange(20.0, dtype=np.float32)[:, None] + 100 * batch
        classes, entropy = rng.integers(0, 4, 20), rng.integers(0, 9 - batch, 20)
        selected = rng.random(20) < 0.8
        memory, written = offer(memory, images, classes, entropy.astype(np.float32), selected)
        expected = np.zeros(20, bool)
        for i in np.flatnonzero(selected):
            row, h = stored[classes[i]], entropy[i]
            if len(row) < 3:
                row.append((h, images[i, 0]))
            elif any(e > h for e, _ in row):
                row[2 - np.argmax([e for e, _ in row][::-1])] = (h, images[i, 0])
            else:
                continue
            expected[i] = True
            taken_late += batch > 0
        np.testing.assert_array_equal(written, expected)
        assert [len(row) for row in stored] == memory.count.tolist()
        for c, row in enumerate(stored):
            got = zip(memory.entropy[c].tolist(), memory.images[c, :, 0].tolist(), strict=True)
            assert list(got)[: len(row)] == row
    assert taken_late > 10


def test_a_memory_of_one_crowded_class():
    images = np.arange(20.0, dtype=np.float32)[:, None]
    entropy = np.arange(20.0, 0.0, -1.0, dtype=np.float32)  # each better than all before
    everything = np.ones(20, bool)
    memory, _ = offer(empty(4, 3, 1, np.float32), images, np.ones(20, int), entropy, everything)
    assert sorted(memory.images[1, :, 0].tolist()) == [17, 18, 19]
    assert memory.count.tolist() == [0, 3, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"proxy": "class"}, "proxy must be one of task, sample"),
        ({"score": "sum"}, "score must be one of combine"),
        ({"threshold": 1.5}, "threshold must lie"),
        ({"memory_length": 0}, "memory_length must be a positive integer"),
    ],
)
def test_bad_hyper_parameters(change, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_detectors.make("adaneg", **change)
