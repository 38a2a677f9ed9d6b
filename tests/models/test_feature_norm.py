"""T2FNorm: unit features over a temperature in training, plain ones over it in evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError

SIZES = {"width": 4, "blocks": (1, 1, 0, 0), "head": "linear", "num_classes": 5}


@pytest.fixture(scope="module")
def both():
    """The same variables and images through the plain network and the normalising one."""
    images = jnp.asarray(np.random.default_rng(0).standard_normal((6, 8, 8, 3)), jnp.float32)
    plain = models.make("resnet18", **SIZES)
    normed = models.make("resnet18", **SIZES, feature_norm=0.25)
    variables = plain.init(jax.random.key(0))
    return plain, normed, variables, images


@pytest.mark.parametrize("train", [True, False])
def test_logits(both, train):
    plain, normed, variables, images = both
    expected, _ = jax.jit(lambda v, x: plain.apply(v, x, train))(variables, images)
    found, _ = jax.jit(lambda v, x: normed.apply(v, x, train))(variables, images)
    features = np.asarray(expected.features, np.float64)
    np.testing.assert_allclose(found.features, features, atol=1e-6)
    fc = variables["params"]["fc"]
    seen = features / 0.25
    if train:
        seen = seen / np.linalg.norm(features, axis=1, keepdims=True)
    logits = seen @ np.asarray(fc["kernel"], np.float64) + np.asarray(fc["bias"])
    np.testing.assert_allclose(found.logits, logits, rtol=1e-5, atol=1e-5)


def test_the_classifier_made_the_logits_of_evaluation(both):
    """Detectors recompute logits from features and this layer."""
    _, normed, variables, images = both
    outputs, _ = jax.jit(lambda v, x: normed.apply(v, x, False))(variables, images)
    kernel, bias = normed.classifier(variables)
    again = np.asarray(outputs.features) @ np.asarray(kernel) + np.asarray(bias)
    np.testing.assert_allclose(outputs.logits, again, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, -0.1, float("nan"), "0.1", True])
def test_wrong_temperatures(value):
    with pytest.raises(ValueError, match=r"feature_norm must be (positive|finite)"):
        models.make("resnet18", **SIZES, feature_norm=value)


def test_a_projection_head_has_no_use_for_it():
    with pytest.raises(InputError, match='needs head="linear"'):
        models.make("resnet18", feature_norm=0.1)
