import jax
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError
from adapt_jax.models.torch_names import torch_name

TINY = {"width": 2, "blocks": (1, 1, 1, 1), "embedding_dim": 3}


@pytest.fixture
def template():
    return jax.eval_shape(models.make("resnet18", **TINY).init, jax.random.key(0))


def state_of(template):
    """A state dict that fits, every entry a different number."""
    state, start = {}, 0
    for path, leaf in jax.tree.leaves_with_path(template):
        shape = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim]
        shape = tuple(leaf.shape[axis] for axis in shape)
        name = torch_name(tuple(key.key for key in path[1:]))
        state[name] = np.arange(start, start + leaf.size, dtype=np.float64).reshape(shape)
        start += leaf.size
    return state


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("encoder/conv1/kernel", "encoder.conv1.weight"),
        ("encoder/bn1/scale", "encoder.bn1.weight"),
        ("encoder/layer3_12/conv3/kernel", "encoder.layer3.12.conv3.weight"),
        ("encoder/layer2_0/shortcut_conv/kernel", "encoder.layer2.0.shortcut.0.weight"),
        ("encoder/layer2_0/shortcut_bn/var", "encoder.layer2.0.shortcut.1.running_var"),
        ("encoder/layer4_1/bn2/mean", "encoder.layer4.1.bn2.running_mean"),
        ("head/hidden/kernel", "head.0.weight"),
        ("head/output/bias", "head.2.bias"),
        ("fc/kernel", "fc.weight"),
    ],
)
def test_names(path, name):
    assert torch_name(tuple(path.split("/"))) == name


def test_layouts_and_dtype(template):
    state = state_of(template)
    variables = jax.tree.map(np.asarray, models.from_torch(state, template))
    assert jax.tree.structure(variables) == jax.tree.structure(template)
    kernel = variables["params"]["encoder"]["layer2_0"]["conv1"]["kernel"]
    theirs = state["encoder.layer2.0.conv1.weight"]
    assert kernel.dtype == np.float32
    assert kernel[0, 2, 1, 3] == theirs[3, 1, 0, 2]
    assert variables["params"]["head"]["output"]["kernel"][5, 2] == state["head.2.weight"][2, 5]


@pytest.mark.parametrize("prefix", ["_orig_mod.", "_orig_mod.module.", "model.", "net."])
def test_wrappers_of_other_programs_and_averages_load(template, prefix):
    state = state_of(template)
    wrapped = {prefix + name: value for name, value in state.items()} | {"n_averaged": np.array(3)}
    loaded, plain = (models.from_torch(s, template) for s in (wrapped, state))
    jax.tree.map(np.testing.assert_array_equal, loaded, plain)


def test_names_left_by_data_parallel_and_counters_are_understood(template):
    state = state_of(template)
    wrapped = {name.replace("encoder.", "encoder.module."): v for name, v in state.items()}
    wrapped["encoder.module.bn1.num_batches_tracked"] = np.array(3)
    expected = models.from_torch(state, template)
    jax.tree.map(np.testing.assert_array_equal, models.from_torch(wrapped, template), expected)


def test_every_problem_is_named(template):
    state = state_of(template)
    del state["encoder.bn1.running_var"], state["head.0.bias"]
    state["encoder.layer5.0.conv1.weight"] = np.zeros(1)
    state["encoder.conv1.weight"] = np.zeros((2, 3, 7, 7))
    with pytest.raises(InputError) as caught:
        models.from_torch(state, template)
    message = str(caught.value)
    assert "missing: encoder.bn1.running_var, head.0.bias" in message
    assert "unused: encoder.layer5.0.conv1.weight" in message
    assert "wrong shape: encoder.conv1.weight is (2, 3, 7, 7), not (2, 3, 3, 3)" in message


def test_another_head_is_refused(template):
    linear = models.make("resnet18", width=2, blocks=(1, 1, 1, 1), head="linear", num_classes=4)
    with pytest.raises(InputError, match=r"2 missing: fc.bias, fc.weight; 4 unused: head.0.bias"):
        models.from_torch(state_of(template), jax.eval_shape(linear.init, jax.random.key(0)))
