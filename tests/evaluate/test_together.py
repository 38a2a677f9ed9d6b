"""One pass for several detectors: the scores of each alone, less arithmetic, failures apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.detectors import Head, ImageDetector, Network
from adapt_jax.evaluate.together import fit_on_images, together

NAMES = ("odin", "iodin", "adascale")


@pytest.fixture(scope="module")
def on_images():
    """A small network over three sets, as `inference.pixel_functions` gives it; counts FLOPs."""
    rng = np.random.default_rng(0)
    sets = {
        name: rng.normal(size=(12, 4, 4, 3)).astype(np.float32) for name in ("val", "id", "far")
    }
    w1, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((48, 40), (40, 5)))

    def forward(pixels):
        features = jax.nn.relu(pixels.reshape(len(pixels), -1) @ w1)
        return features, features @ kernel

    network = Network(forward, Head(kernel, np.zeros(5, np.float32)), jnp.full(3, 0.25))

    def on_images(function):
        call = jax.jit(lambda pixels: function(network, pixels))

        def over(name, limit=None):
            compiled = call.lower(sets[name][:limit]).compile()
            on_images.flops.append(compiled.cost_analysis()["flops"])
            return jax.tree.map(np.asarray, compiled(sets[name][:limit]))

        return over

    on_images.flops = []
    return on_images


def test_scores_are_those_of_each_alone_for_less_arithmetic(on_images):
    made = {name: detectors.make(name, noise=0.1) for name in ("odin", "iodin")}
    made["adascale"] = detectors.make("adascale")
    alone, flops = {}, 0.0
    for name, detector in made.items():
        score = on_images(fit_on_images(detector, on_images))
        alone[name] = {images: score(images) for images in ("id", "far")}
        flops += on_images.flops[-1]
    joined = together(made, on_images)
    for name in reversed(NAMES):
        for images, expected in alone[name].items():
            np.testing.assert_allclose(joined[name](images), expected, rtol=1e-6)
    # Each takes a pass, its gradient and another pass. Of nine, the first pass is shared by three
    # and the gradient by two, so six are left.
    assert on_images.flops[-1] < 0.75 * flops
    passes = len(on_images.flops)
    joined["odin"]("id")
    assert len(on_images.flops) == passes


def test_who_fails_loses_its_own_scores_only(on_images):
    def fail(state, network, pixels):
        raise InputError("does not like these pixels")

    broken = ImageDetector(None, lambda measured: (), fail)
    unfit = detectors.make("adascale")._replace(fit=lambda measured: fail(None, None, None))
    joined = together({"odin": detectors.make("odin"), "broken": broken, "u": unfit}, on_images)
    assert joined.keys() == {"odin", "broken"}
    alone = on_images(fit_on_images(detectors.make("odin"), on_images))("id")
    np.testing.assert_allclose(joined["odin"]("id"), alone, rtol=1e-6)
    with pytest.raises(InputError, match="does not like"):
        joined["broken"]("id")
