import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError

TINY = {"width": 4, "blocks": (1, 1, 1, 1), "embedding_dim": 8}
SHORT = TINY | {"blocks": (1, 1, 0, 0)}  # every kind of layer and shortcut


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def images(n=4, size=8, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal((n, size, size, 3)).astype(dtype)


@pytest.mark.parametrize(
    ("name", "encoder", "head", "running", "convolutions", "stages"),
    [
        ("resnet18", 11168832, 328320, 9600, 20, (147968, 525568, 2099712, 8393728)),
        ("resnet34", 21276992, 328320, 17024, 36, (221952, 1116416, 6822400, 13114368)),
        ("resnet50", 23500352, 4458624, 53120, 53, (215808, 1219584, 7098368, 14964736)),
        ("resnet101", 42492480, 4458624, 105344, 104, None),
    ],
)
def test_parameter_counts(name, encoder, head, running, convolutions, stages):
    model = models.make(name)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = shapes["params"]
    assert count(params["encoder"]) == encoder
    assert count(params["head"]) == head
    assert count(shapes["batch_stats"]) == running
    assert sum(leaf.ndim == 4 for leaf in jax.tree.leaves(params)) == convolutions
    if stages:
        sizes = [
            sum(count(v) for k, v in params["encoder"].items() if k.startswith(f"layer{s}"))
            for s in (1, 2, 3, 4)
        ]
        assert tuple(sizes) == stages
    assert model.feature_dim == params["head"]["hidden"]["kernel"].shape[0]


@pytest.mark.parametrize(("name", "mega"), [("resnet18", 555), ("resnet34", 1159)])
def test_flops(name, mega):
    """Two per multiply-accumulate; the published counts are in whole millions."""
    assert int(models.make(name).flops_per_image(32, 32) / 2e6) == mega


def test_flops_by_hand():
    """One basic block per stage, widths 2, 4, 8, 16, on 8 x 8."""
    by_stage = 64 * 27 * 2  # the stem
    by_stage += 64 * 9 * (2 * 2 + 2 * 2)
    for side, w in ((4, 4), (2, 8), (1, 16)):
        by_stage += side**2 * (9 * (w * w // 2 + w * w) + w * w // 2)
    model = models.make("resnet18", width=2, blocks="1,1,1,1", head="linear", num_classes=5)
    assert model.flops_per_image(8, 8) == 2 * (by_stage + 16 * 5)


def test_stages_at_the_end_can_be_left_out():
    """Three stages of three basic blocks of 16, 32 and 64 channels have ResNet-20's 20 layers."""
    model = models.make("resnet18", width=16, blocks=(3, 3, 3, 0), head="linear", num_classes=10)
    params = jax.eval_shape(model.init, jax.random.key(0))["params"]
    first, second, third = (9 * (6 * 16**2), 9 * (16 * 32 + 5 * 32**2), 9 * (32 * 64 + 5 * 64**2))
    shortcuts = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    normalised = 2 * (16 + 6 * (16 + 32 + 64))
    assert count(params["encoder"]) == 27 * 16 + first + second + third + shortcuts + normalised
    assert model.feature_dim == params["fc"]["kernel"].shape[0] == 64


def test_initial_distributions():
    variables = models.make("resnet18", width=32, embedding_dim=64).init(jax.random.key(3))
    variables = jax.tree.map(np.asarray, variables)
    encoder, head = variables["params"]["encoder"], variables["params"]["head"]
    for kernel in (
        encoder["layer4_1"]["conv2"]["kernel"],
        encoder["layer2_0"]["shortcut_conv"]["kernel"],
    ):
        k, _, _, out = kernel.shape
        scaled = np.asarray(kernel, np.float64).ravel() / np.sqrt(2 / (k * k * out))
        error = 5 / np.sqrt(scaled.size)  # five standard errors
        assert abs(scaled.mean()) < error
        assert abs(scaled.std() - 1) < error
        assert abs((scaled**4).mean() - 3) < 10 * error  # normal, not truncated
    for layer in head.values():
        bound = 1 / np.sqrt(layer["kernel"].shape[0])
        for leaf in layer.values():
            assert np.abs(leaf).max() <= bound
            spread = 5 / np.sqrt(leaf.size)
            assert abs(np.abs(leaf).mean() / bound - 0.5) < spread
            assert abs(leaf.mean() / bound) < spread
    block, stats = encoder["layer3_1"]["bn2"], variables["batch_stats"]["encoder"]["bn1"]
    np.testing.assert_array_equal(block["scale"], 1)
    np.testing.assert_array_equal(block["bias"], 0)
    np.testing.assert_array_equal(stats["mean"], 0)
    np.testing.assert_array_equal(stats["var"], 1)


def test_a_key_is_a_network():
    model = models.make("resnet18", **TINY)
    a, b, c = (jax.tree.map(np.asarray, model.init(jax.random.key(seed))) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    kernels = [leaf for v in (a, c) for leaf in jax.tree.leaves(v["params"]) if leaf.ndim > 1]
    assert len({leaf.ravel()[0].item() for leaf in kernels}) == len(
        kernels
    )  # no number drawn twice
    jitted = jax.jit(model.init)(jax.random.key(0))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), a, jitted)


@pytest.mark.usefixtures("x64")
def test_float64_stays_float64():
    model = models.make("resnet18", **SHORT)
    narrow = model.init(jax.random.key(0))
    wide = model.init(jax.random.key(0), param_dtype=jnp.float64)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(narrow)} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(wide)} == {"float64"}
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), narrow, wide)
    for variables, x in (
        (wide, images()),
        (wide, images(dtype=np.float64)),
        (narrow, images(dtype=np.float64)),
    ):
        outputs, stats = jax.eval_shape(lambda v, x: model.apply(v, x, True), variables, x)
        assert outputs.features.dtype == outputs.embeddings.dtype == jnp.float64
        dtypes = lambda tree: jax.tree.map(lambda leaf: leaf.dtype, tree)  # noqa: E731
        assert dtypes(stats) == dtypes(variables["batch_stats"])  # so that a scan can carry them


def evaluate(model, variables, x):
    return jax.jit(lambda v, x: model.apply(v, x, False)[0])(variables, x)


def test_projection_head():
    model = models.make("resnet50", **TINY)
    variables = model.init(jax.random.key(0))
    outputs = evaluate(model, variables, images())
    assert outputs.features.shape == (4, model.feature_dim) == (4, 128)
    assert outputs.embeddings.shape == (4, model.embedding_dim) == (4, 8)
    np.testing.assert_allclose(np.linalg.norm(outputs.embeddings, axis=1), 1, atol=1e-6)
    assert outputs.logits is None
    assert model.classifier(variables) is None


def test_linear_head():
    model = models.make("resnet18", width=4, blocks=[1, 1, 1, 1], head="linear", num_classes=7)
    variables = model.init(jax.random.key(0))
    outputs = evaluate(model, variables, images())
    assert outputs.embeddings is None
    assert (model.embedding_dim, model.num_classes) == (None, 7)
    kernel, bias = map(np.asarray, model.classifier(variables))
    expected = np.asarray(outputs.features) @ kernel + bias
    np.testing.assert_allclose(outputs.logits, expected, atol=1e-6)


def test_any_split_of_the_batch_evaluates_alike():
    model = models.make("resnet18", **SHORT)
    variables = model.init(jax.random.key(0))
    apply = jax.jit(lambda x: model.apply(variables, x, False)[0].features)
    x = images(5)
    np.testing.assert_allclose(apply(x), np.concatenate([apply(x[:2]), apply(x[2:])]), atol=1e-6)


def step(model, variables, x):
    """Loss, its gradient and the new statistics of one training step."""

    @jax.jit
    def run(params, stats, x):
        def loss(params):
            outputs, new = model.apply({"params": params, "batch_stats": stats}, x, True)
            weights = jnp.cos(jnp.arange(outputs.embeddings.size)).reshape(outputs.embeddings.shape)
            return jnp.sum(outputs.embeddings * weights), (outputs, new)

        return jax.value_and_grad(loss, has_aux=True)(params)

    return run(variables["params"], variables["batch_stats"], x)


def test_bfloat16_is_close_and_returns_float32():
    x = images(16, size=16)
    exact = models.make("resnet18", **SHORT | {"width": 16})
    rough = models.make("resnet18", **SHORT | {"width": 16}, dtype="bfloat16")
    variables = exact.init(jax.random.key(0))
    a, b = (evaluate(model, variables, x) for model in (exact, rough))
    assert b.features.dtype == b.embeddings.dtype == jnp.float32
    a, b = jax.tree.map(np.asarray, (a, b))
    error = np.linalg.norm(a.features - b.features) / np.linalg.norm(a.features)
    assert 1e-5 < error < 3e-2  # it did compute in bfloat16, and no worse than that
    assert np.sum(a.embeddings * b.embeddings, axis=1).min() > 0.999


@pytest.mark.parametrize("conv", ["xla", "matmul_backward"])
def test_bfloat16_training_is_float32_outside_the_convolutions(conv):
    model = models.make("resnet18", **SHORT, dtype="bfloat16", conv=conv)
    variables = jax.eval_shape(model.init, jax.random.key(0))
    shapes = jax.eval_shape(partial(step, model), variables, images())
    assert {leaf.dtype.name for leaf in jax.tree.leaves(shapes)} == {"float32"}


def test_remat_recomputes_every_block():
    x = images()

    def recomputed(remat):
        model = models.make("resnet18", **TINY, remat=remat)
        variables = jax.eval_shape(model.init, jax.random.key(0))
        return str(jax.make_jaxpr(lambda v, x: model.apply(v, x, True))(variables, x)).count(
            "remat"
        )

    assert recomputed(False) == 0
    assert recomputed(True) >= 4


@pytest.mark.usefixtures("x64")
def test_eight_devices_train_as_one():
    """Batch statistics are over the global batch; hand-written backward passes equal autodiff's."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    plain = models.make("resnet18", **SHORT, conv="xla")
    mine = models.make("resnet18", **SHORT, conv="matmul_backward", conv_chunk=None)
    variables = plain.init(jax.random.key(0), param_dtype=jnp.float64)
    # Images of different spread: statistics per device would differ from those of the batch.
    x = images(16, dtype=np.float64) * np.arange(1.0, 17.0).reshape(-1, 1, 1, 1)
    alone = step(plain, variables, x)
    shared = step(mine, jax.device_put(variables, whole), jax.device_put(x, split))
    assert len(shared[0][1][0].features.sharding.device_set) == 8
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-11), shared, alone)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"width": 0}, "width must be a positive integer, got 0"),
        ({"width": 1.5}, "width"),
        ({"width": (4, 8, 16)}, "width must be four numbers"),
        ({"blocks": (2, 2, 2)}, "blocks must be four numbers"),
        ({"blocks": "2,2,x,2"}, "blocks must look like"),
        ({"blocks": 3}, "blocks must be four numbers"),
        ({"blocks": (2, 2, 0, 2)}, "blocks must be a positive integer"),
        ({"blocks": (0, 0, 0, 0)}, "blocks must be a positive integer"),
        ({"head": "cosine"}, "head must be one of mlp, linear"),
        ({"head": "linear"}, "needs num_classes"),
        ({"head": "linear", "num_classes": 0}, "num_classes"),
        ({"embedding_dim": -1}, "embedding_dim"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"conv": "fast"}, "conv must be one of"),
        ({"conv_chunk": 0}, "conv_chunk"),
    ],
)
def test_wrong_choices(choices, message):
    with pytest.raises(ValueError, match=message):
        models.make("resnet18", **choices)


def test_wrong_names():
    with pytest.raises(ValueError, match="did you mean 'resnet18'.*resnet101"):
        models.make("resnet19")
    with pytest.raises(TypeError, match="did you mean 'width'"):
        models.make("resnet18", widht=3)
    assert models.names() == ("resnet101", "resnet18", "resnet34", "resnet50")


def test_wrong_images():
    model = models.make("resnet18", **TINY)
    for shape in ((7, 32, 3), (32, 4, 3), (32, 32)):
        with pytest.raises(InputError, match="at least 8"):
            model.init(jax.random.key(0), image_shape=shape)
    variables = model.init(jax.random.key(0))
    for x in (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(InputError, match="images must be floating-point"):
            model.apply(variables, x, False)
