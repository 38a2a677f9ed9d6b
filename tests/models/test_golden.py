"""The networks against arrays recorded from the official PyTorch code (see `golden/`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.arrays import l2_normalize
from adapt_jax.models.layers import BatchNorm
from adapt_jax.models.resnet import BasicBlock, Bottleneck, Encoder
from tests.models.rounding import slack

CASES = {  # file: network, its choices, how its training step is computed
    "resnet_tiny_basic": ("resnet18", {"width": 4, "embedding_dim": 8}, {"conv": "xla"}),
    "resnet_tiny_bottleneck": (
        "resnet50",
        {"width": (2, 4, 6, 8), "blocks": (1, 2, 1, 1), "embedding_dim": 8},
        {"conv": "matmul_backward", "conv_chunk": None, "remat": True},
    ),
    "resnet18_seeded": ("resnet18", {}, {"conv": "matmul_backward", "conv_chunk": 2}),
}


def recorded_weights(case):
    """The state dict of a case, regenerated from its seed by the rule it was recorded with."""
    draw = np.random.RandomState(int(case["hp_fill_seed"]))
    state = {}
    for name, shape in zip(case["entry_names"], case["entry_shapes"], strict=True):
        shape = tuple(int(n) for n in str(shape).replace("x", ",").strip("(),").split(",") if n)
        g = draw.standard_normal(shape)
        if g.ndim == 4:
            g *= np.sqrt(2 / np.prod(shape[1:]))
        elif g.ndim == 2:
            g /= np.sqrt(shape[1])
        elif name.endswith("running_var"):
            g = np.exp(0.2 * g)
        elif name.endswith("weight"):
            g = 1 + 0.1 * g
        else:
            g *= 0.1
        state[str(name)] = g.astype(np.float32)
    arrays = list(state.values())
    total = sum(np.abs(a.astype(np.float64)).sum() for a in arrays)
    checksum = [total, arrays[0].flat[0], arrays[-1].flat[-1]]
    np.testing.assert_allclose(checksum, case["fill_checksum"], rtol=1e-6)
    return state


@pytest.fixture(scope="module", params=CASES)
def recorded(request, golden):
    case = dict(golden(request.param))
    name, choices, training = CASES[request.param]
    state = recorded_weights(case)
    template = jax.eval_shape(models.make(name, **choices).init, jax.random.key(0))
    images = jnp.asarray(case["x"].transpose(0, 2, 3, 1))
    variables = models.from_torch(state, template)
    return case, name, choices, training, variables, images


def close(actual, case, key, tolerance):
    """Within `tolerance` of the largest entry of the most exact recorded version."""
    expected = case.get(f"{key}_f64", case[key])
    atol = slack() * tolerance * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def test_seeded_weights_equal_the_stored_ones(golden):
    for name in ("resnet_tiny_basic", "resnet_tiny_bottleneck"):
        case = dict(golden(name))
        for entry, value in recorded_weights(case).items():
            np.testing.assert_array_equal(value, case[f"w:{entry}"])


def test_evaluation(recorded):
    case, name, choices, _, variables, images = recorded
    apply = jax.jit(models.make(name, **choices).apply, static_argnums=2)
    outputs, stats = apply(variables, images, False)
    assert outputs.logits is None
    close(outputs.features, case, "eval_encoder", 1e-5)
    close(outputs.embeddings, case, "eval_proj", 1e-5)
    close(l2_normalize(outputs.features), case, "eval_penult_norm", 1e-5)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])


def test_stages(recorded):
    """Spatial means after the stem and after each stage."""
    case, name, choices, _, variables, images = recorded
    block = Bottleneck if name == "resnet50" else BasicBlock
    width = choices.get("width", 64)
    widths = width if isinstance(width, tuple) else tuple(width << s for s in range(4))
    depths = choices.get("blocks", (2, 2, 2, 2))
    encoder = Encoder(block, widths, depths)
    below = {kind: tree["encoder"] for kind, tree in variables.items()}

    @jax.jit
    def stages(variables, images):
        keep = lambda module, _: isinstance(module, (block, BatchNorm))  # noqa: E731
        _, seen = encoder.apply(
            variables, images, False, capture_intermediates=keep, mutable=["intermediates"]
        )
        seen = seen["intermediates"]
        last = [seen[f"layer{s + 1}_{depths[s] - 1}"]["__call__"][0] for s in range(4)]
        return [x.mean((1, 2)) for x in (jax.nn.relu(seen["bn1"]["__call__"][0]), *last)]

    for s, means in enumerate(stages(below, images)):
        close(means, case, f"eval_stage{s}_chanmean", 1e-5)


def test_training_step(recorded):
    """Batch statistics, running statistics after one step, and gradients."""
    case, name, choices, training, variables, images = recorded
    model = models.make(name, **choices, **training)

    @jax.jit
    def run(params, stats, images):
        def loss(params):
            outputs, new = model.apply({"params": params, "batch_stats": stats}, images, True)
            z = outputs.embeddings
            weights = jnp.sin(0.37 * jnp.arange(z.size)).reshape(z.shape)
            return jnp.sum(z * weights), (z, new)

        return jax.grad(loss, has_aux=True)(params)

    gradients, (z, stats) = run(variables["params"], variables["batch_stats"], images)
    close(z, case, "train_proj", 1e-5)

    last = str(case["hp_last_bn"]).split(".")
    bn = "shortcut_bn" if "shortcut" in last else last[3]
    for key, node in (
        ("post_bn1", stats["encoder"]["bn1"]),
        ("post_lastbn", stats["encoder"][f"{last[1]}_{last[2]}"][bn]),
    ):
        close(node["mean"], case, f"{key}_running_mean", 1e-5)
        close(node["var"], case, f"{key}_running_var", 1e-5)

    encoder, head = gradients["encoder"], gradients["head"]["output"]
    close(encoder["conv1"]["kernel"].transpose(3, 2, 0, 1), case, "train_grad_conv1", 1e-4)
    close(encoder["bn1"]["scale"], case, "train_grad_bn1_weight", 1e-4)
    close(head["bias"], case, "train_grad_head2_bias", 1e-4)
    if "train_grad_head2" in case:
        close(head["kernel"].T, case, "train_grad_head2", 1e-4)
