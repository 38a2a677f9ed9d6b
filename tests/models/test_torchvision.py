"""The ImageNet stem and pytorch/vision's names, against a recorded network of that layout.

golden/torchvision_tiny.npz: two tiny networks with the modules, names and order of operations of
pytorch/vision's resnet.py (v1.5 bottleneck), written and run in PyTorch 2.13 on CPU in float64;
weights and running statistics are random. Gradients are of sum(sin(0.37 i) * train_features[i]).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError

CASES = {
    "basic": ("resnet18", {"width": (3, 4, 5, 6), "blocks": (2, 1, 1, 2)}),
    "bottleneck": ("resnet50", {"width": (2, 3, 2, 3), "blocks": (1, 2, 1, 1)}),
}


@pytest.fixture(scope="module")
def cases(golden):
    """case -> (recorded arrays, the state dict among them)."""
    with golden("torchvision_tiny") as file:
        whole = {name: file[name] for name in file.files}
    found = {}
    for case in CASES:
        arrays = {
            k.removeprefix(f"{case}/"): v for k, v in whole.items() if k.startswith(f"{case}/")
        }
        state = {k.removeprefix("w:"): v for k, v in arrays.items() if k.startswith("w:")}
        found[case] = arrays, state
    return found


def build(case, **choices):
    name, sizes = CASES[case]
    model = models.make(
        name, **sizes, stem="imagenet", **({"head": "linear", "num_classes": 7} | choices)
    )
    return model, jax.eval_shape(lambda k: model.init(k, (37, 45, 3)), jax.random.key(0))


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_evaluation(cases, case):
    recorded, state = cases[case]
    model, template = build(case)
    x = recorded["x"].transpose(0, 2, 3, 1).astype(np.float32)
    apply = jax.jit(model.apply, static_argnums=2)
    outputs, _ = apply(models.from_torch(state, template), x, False)
    close(outputs.features, recorded["eval_features"])
    close(outputs.logits, recorded["eval_logits"])


@pytest.mark.parametrize(
    ("case", "choices"),
    [("basic", {"conv": "xla"}), ("bottleneck", {"conv": "matmul_backward", "remat": True})],
)
def test_training_step(cases, case, choices):
    """Also the gradient through the max-pool and the 7x7 convolution."""
    recorded, state = cases[case]
    model, template = build(case, **choices)
    variables = models.from_torch(state, template)
    x = recorded["x"].transpose(0, 2, 3, 1).astype(np.float32)

    @jax.jit
    def run(params):
        def loss(params):
            outputs, stats = model.apply(variables | {"params": params}, x, True)
            f = outputs.features
            return jnp.sum(f * np.sin(0.37 * np.arange(f.size)).astype(f.dtype).reshape(f.shape)), (
                f,
                stats,
            )

        return jax.grad(loss, has_aux=True)(params)

    gradient, (features, stats) = run(variables["params"])
    close(features, recorded["train_features"])
    close(stats["encoder"]["bn1"]["var"], recorded["post_bn1_running_var"])
    encoder = gradient["encoder"]
    close(encoder["conv1"]["kernel"].transpose(3, 2, 0, 1), recorded["train_grad_conv1"], 1e-4)
    shortcut = encoder["layer4_0"]["shortcut_conv"]["kernel"].transpose(3, 2, 0, 1)
    close(shortcut, recorded["train_grad_layer4.0.downsample.0"], 1e-4)


@pytest.mark.parametrize(
    ("name", "parameters", "mega", "features"),
    [
        ("resnet18", 11_689_512, 1814, 512),
        ("resnet34", 21_797_672, 3664, 512),
        ("resnet50", 25_557_032, 4089, 2048),
        ("resnet101", 44_549_160, 7801, 2048),
    ],
)
def test_published_sizes(name, parameters, mega, features):
    """Parameters and multiply-accumulates at 224 x 224 as pytorch/vision documents them."""
    model = models.make(name, stem="imagenet", head="linear", num_classes=1000)
    shapes = jax.eval_shape(lambda k: model.init(k, (224, 224, 3)), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == parameters
    assert model.feature_dim == features
    assert round(model.flops_per_image(224, 224) / 2e6) == mega


def test_smallest_image():
    model, _ = build("basic")
    with pytest.raises(InputError, match="at least 32"):
        model.init(jax.random.key(0), (31, 224, 3))
    with pytest.raises(ValueError, match="stem must be one of cifar, imagenet"):
        models.make("resnet18", stem="cifer")


def test_an_embedding_network_takes_the_backbone_and_keeps_its_head(cases):
    _, state = cases["bottleneck"]
    model, _ = build("bottleneck", head="mlp", embedding_dim=5, num_classes=None)
    fresh = model.init(jax.random.key(3), (37, 45, 3))
    loaded = models.pretrained(state, fresh)
    assert loaded.kept == ("head",)
    assert loaded.ignored == ("fc.bias", "fc.weight")
    assert jax.tree.structure(loaded.variables) == jax.tree.structure(fresh)
    jax.tree.map(
        np.testing.assert_array_equal,
        loaded.variables["params"]["head"],
        fresh["params"]["head"],
    )
    encoder = loaded.variables["params"]["encoder"]
    theirs = state["layer2.0.downsample.0.weight"]
    assert encoder["layer2_0"]["shortcut_conv"]["kernel"][0, 0, 3, 2] == theirs[2, 3, 0, 0]
    var = loaded.variables["batch_stats"]["encoder"]["layer2_0"]["shortcut_bn"]["var"]
    np.testing.assert_array_equal(var, state["layer2.0.downsample.1.running_var"])


def test_a_classifier_is_taken_whole_or_not_at_all(cases):
    _, state = cases["basic"]
    model, _ = build("basic")
    fresh = model.init(jax.random.key(3), (37, 45, 3))
    loaded = models.pretrained(state, fresh)
    assert (loaded.kept, loaded.ignored) == ((), ())
    np.testing.assert_array_equal(loaded.variables["params"]["fc"]["kernel"].T, state["fc.weight"])
    backbone = {k: v for k, v in state.items() if not k.startswith("fc.")}
    assert models.pretrained(backbone, fresh).kept == ("fc",)
    with pytest.raises(InputError, match="missing: fc.bias"):
        models.pretrained(backbone | {"fc.weight": state["fc.weight"]}, fresh)
    other = build("basic", num_classes=9)[1]
    with pytest.raises(InputError, match=r"fc.weight is \(7, 6\), not \(9, 6\)"):
        models.pretrained(state, other)


def test_other_layouts_are_recognised(cases):
    """The official CIFAR checkpoints' names, and OpenOOD's with and without a wrapper."""
    _, state = cases["basic"]
    _, template = build("basic")
    expected = models.from_torch(state, template)
    counted = state | {"bn1.num_batches_tracked": np.array(1)}
    for prefix in ("encoder.", "backbone.", "encoder.module.", ""):
        renamed = {
            k if k.startswith("fc.") else prefix + k.replace("downsample", "shortcut"): v
            for k, v in counted.items()
        }
        jax.tree.map(np.testing.assert_array_equal, models.from_torch(renamed, template), expected)
    wrapped = {f"backbone.{k}": v for k, v in state.items()}
    embedding, _ = build("basic", head="mlp", num_classes=None)
    loaded = models.pretrained(wrapped, embedding.init(jax.random.key(0), (37, 45, 3)))
    assert loaded.ignored == ("backbone.fc.bias", "backbone.fc.weight")


def test_problems_are_named_and_a_wrong_network_is_refused(cases):
    _, state = cases["basic"]
    fresh = build("basic", head="mlp", num_classes=None)[1]
    broken = {k: v for k, v in state.items() if k != "layer3.0.bn1.running_mean"}
    broken["layer9.0.conv1.weight"] = np.zeros(1)
    broken["bn1.bias"] = np.zeros(4)
    with pytest.raises(InputError) as caught:
        models.pretrained(broken, fresh)
    assert "missing: layer3.0.bn1.running_mean;" in str(caught.value)
    assert "unused: layer9.0.conv1.weight;" in str(caught.value)
    assert "wrong shape: bn1.bias is (4,), not (3,)" in str(caught.value)
    deeper = models.make("resnet34", width=(3, 4, 5, 6), stem="imagenet")
    with pytest.raises(InputError, match=r"missing: .* and \d+ more\)"):
        models.pretrained(state, jax.eval_shape(deeper.init, jax.random.key(0)))
