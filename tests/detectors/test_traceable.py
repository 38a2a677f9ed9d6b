"""Scores as functions of traced outputs, and fitted states in files: what an export stands on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from jax import export

from adapt_jax import detectors
from adapt_jax.core import named
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Head, ImageDetector, Outputs, states

D, C = 48, 5
CHOICES = {
    "vim": {"dim": 8},
    "residual": {"dim": 8},
    "nnguide": {"k": 5, "alpha": 0.5},
    "knn": {"k": 5},
}
NAMES = [n for n in detectors.names() if not isinstance(detectors.make(n), ImageDetector)]


@pytest.fixture(scope="module")
def outputs():
    """Training, validation and other outputs of a made-up classifier, and the classifier."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(D, C)).astype(np.float32)
    bias = rng.normal(size=C).astype(np.float32)

    def some(count):
        labels = np.arange(count) % C
        features = np.maximum(rng.normal(size=(count, D)) + 2 * kernel.T[labels], 0)
        features = features.astype(np.float32)
        return Outputs(features, features @ kernel + bias, labels)

    return some(300), some(80), some(11), Head(kernel, bias)


@pytest.mark.parametrize("name", NAMES)
def test_a_traced_score_of_any_batch_is_the_score(outputs, name):
    train, val, found, head = outputs
    detector = detectors.make(name, **CHOICES.get(name, {}))
    fitted = detector.fit(train, val=val, head=head)
    content = safetensors.numpy.save(named.flatten(state=fitted))
    like = {"state": states.like(detector.fit)}
    state = named.unflatten(safetensors.numpy.load(content), like, name)["state"]
    assert jax.tree.structure(state) == jax.tree.structure(fitted)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(fitted)):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)

    def score(features, logits):
        return detector.score(jax.tree.map(jnp.asarray, state), Outputs(features, logits))

    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, n), jnp.float32) for n in (D, C)]
    program = export.export(jax.jit(score))(*shapes)
    wanted = detector.score(fitted, found)
    largest = np.abs(wanted).max()  # RMDS is a difference of scores, and may nearly vanish
    scores = program.call(found.features, found.logits)
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=2e-6 * largest)


def test_shapes_are_checked_while_tracing(outputs):
    train, _, found, _ = outputs
    detector = detectors.make("knn", k=5)
    state = detector.fit(train)
    with pytest.raises(InputError, match="have 47 dimensions"):
        jax.jit(lambda x: detector.score(state, Outputs(x)))(found.features[:, 1:])
    msp = detectors.make("msp")
    with pytest.raises(InputError, match=r"N = 11 .* got \(10, 5\)"):
        jax.jit(lambda x, y: msp.score((), Outputs(x, y)))(found.features, found.logits[1:])
    with pytest.raises(InputError, match="needs logits"):
        jax.jit(lambda x: msp.score((), Outputs(x)))(found.features)
