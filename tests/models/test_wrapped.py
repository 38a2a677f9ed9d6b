"""Wrapped networks compute what they computed before, and what does not fit is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import adapt_jax
from adapt_jax.core.errors import InputError
from adapt_jax.models import wrapped
from adapt_jax.workdir import checkpoints

IMAGES = {"image_size": 8, "mean": (0.5,) * 3, "std": (0.5,) * 3}
BATCH = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        x = linen.BatchNorm(use_running_average=not train)(linen.Conv(4, (3, 3))(x))
        x = linen.Dense(6, name="hidden")(x.mean((1, 2)))
        return linen.softmax(linen.Dense(3, use_bias=False, name="fc")(x))


class Nnx(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.body = nnx.Sequential(nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, rngs=rngs))
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.fc = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.fc(self.dropout(self.body(x).mean((1, 2))))


def seen(network, images=BATCH):
    return network.model.apply(network.variables, images, False)[0]


def test_linen():
    module = Linen()
    variables = module.init(jax.random.key(0), BATCH)
    network = adapt_jax.wrap(module, variables, **IMAGES, head="fc", train=False)
    outputs = seen(network)
    assert outputs.features.shape == (5, 6)
    expected = module.apply(variables, BATCH)
    np.testing.assert_allclose(jax.nn.softmax(outputs.logits), expected, rtol=1e-5)
    kernel, bias = network.model.classifier(network.variables)
    np.testing.assert_array_equal(kernel, variables["params"]["fc"]["kernel"])
    np.testing.assert_array_equal(bias, 0)
    assert (network.model.feature_dim, network.model.num_classes) == (6, 3)


def test_nnx_in_evaluation_mode_and_left_as_it_was():
    module = Nnx()
    module.body.layers[1].mean[...] = jnp.arange(4.0)
    network = adapt_jax.wrap(module, **IMAGES, head="fc")
    assert not module.dropout.deterministic
    module.eval()
    np.testing.assert_allclose(seen(network).logits, module(BATCH), rtol=1e-4, atol=1e-5)
    whole = adapt_jax.wrap(module, **IMAGES)
    np.testing.assert_allclose(seen(whole).features, module(BATCH), rtol=1e-4, atol=1e-5)
    assert seen(whole).logits is None


def test_a_function_and_its_gradient():
    params = {"w": np.ones((192, 4), np.float32), "out": {"kernel": np.eye(4, 3, dtype=np.float32)}}
    function = lambda p, x, scale: scale * x.reshape(len(x), -1) @ p["w"]  # noqa: E731
    network = adapt_jax.wrap(function, params, **IMAGES, head="out", name="mine", scale=2.0)
    assert network.model.name == "mine"
    expected = 2 * BATCH.reshape(5, -1) @ params["w"]
    np.testing.assert_allclose(seen(network).features, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen(network).logits, expected[:, :3], rtol=1e-4, atol=1e-4)
    gradient = jax.grad(lambda x: seen(network, x).logits[:, 0].sum())(jnp.asarray(BATCH))
    np.testing.assert_allclose(gradient, 2, rtol=1e-5)
    assert network.model.flops_per_image(8, 8) >= 2 * 192 * 4
    with pytest.raises(InputError, match="is not trained here"):
        network.model.apply(network.variables, BATCH, True)


@pytest.fixture
def as_keras_wants():
    with jax.numpy_rank_promotion("allow"):
        yield


def test_keras(as_keras_wants):
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, activation="softmax", name="fc"),
        ]
    )
    network = adapt_jax.wrap(model, **IMAGES, head="fc")
    outputs = seen(network)
    expected = np.asarray(model(BATCH, training=False))
    np.testing.assert_allclose(jax.nn.softmax(outputs.logits), expected, rtol=1e-4)
    assert outputs.features.shape == (5, 4)


PARAMS = {"fc": {"kernel": np.zeros((192, 3)), "bias": np.zeros(3)}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda: (7,), "cannot wrap a int"),
        (lambda: (lambda p, x: x,), "wrapped with its parameters"),
        (lambda: (lambda p, x: x, PARAMS), r"makes \(2, 8, 8, 3\) of 2 images"),
        (lambda: (lambda p, x: (x, x), PARAMS), "makes tuple of 2 images"),
        (lambda: (lambda p, x: p["no"], PARAMS), "does not run on images"),
        (lambda: (lambda p, x: x.reshape(len(x), -1)[:, :5], PARAMS), "do not fit features of 5"),
        (lambda: (Linen(),), "wrapped with its variables"),
        (lambda: (Nnx(), PARAMS), "holds its parameters itself"),
        (lambda: (Nnx(),), "the network has no layer 'fc/last'"),
        (lambda: (Linen(), Linen().init(jax.random.key(0), BATCH)), "called 0 times"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, words):
    given = arguments()
    head = "fc/last" if isinstance(given[0], (Nnx, Linen)) else "fc"
    with pytest.raises(InputError, match=words):
        adapt_jax.wrap(*given, **IMAGES, head=head)


def not_wrapped():
    return 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no.such:make", "cannot be imported"),
        ("tests.models.test_wrapped:absent", "cannot be imported"),
        ("tests.models.test_wrapped:not_wrapped", "returns a int; let it return adapt_jax.wrap"),
        ("tests.models.test_wrapped:not_wrapped?weights=a", "has no hyper-parameter 'weights'"),
        ("given:resnet", "was given as an object"),
    ],
)
def test_names_that_lead_nowhere(name, words):
    with pytest.raises(InputError, match=words):
        wrapped.find(name)


def test_other_code_with_the_same_weights_is_another_network():
    """Cached outputs belong to weights and code; the code of one network is always the same."""
    params = {"w": np.ones((192, 4), np.float32)}

    def make(scale, shift):
        function = lambda p, x: jax.nn.relu(scale * x.reshape(len(x), -1) @ p["w"] + shift)  # noqa: E731
        return checkpoints.tree_sha256(adapt_jax.wrap(function, params, **IMAGES).variables)

    shift = np.zeros((1, 4), np.float32)
    assert make(1, shift) == make(1, shift)
    assert len({make(1, shift), make(2, shift), make(1, shift + 1)}) == 3


def test_an_object_is_known_by_its_name():
    network = adapt_jax.wrap(lambda p, x: x.reshape(len(x), -1), {}, **IMAGES, name="flat")
    assert wrapped.find(wrapped.named(network)) is network
    assert wrapped.is_own(wrapped.named(network))
    assert not wrapped.is_own("resnet18")
