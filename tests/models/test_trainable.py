"""Training some stages: the others stay as they are to the bit, and cost no backward pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapt_jax import models
from adapt_jax.core.errors import InputError
from adapt_jax.methods.base import Method
from adapt_jax.models import stages
from adapt_jax.training import optimizers, train_state, train_step
from adapt_jax.training.parts import Parts

SIZES = {"width": 4, "blocks": (1, 1, 1, 1), "embedding_dim": 8, "conv": "xla"}
METHOD = Method(
    lambda key: (), lambda z, labels, state: (jnp.sum(jnp.sin(9 * z[0, :, 0])), (state, {}))
)


@functools.cache
def built(trainable, **choices):
    model = models.make("resnet18", **SIZES | choices, trainable=trainable)
    optimizer = optimizers.only(
        optimizers.sgd(momentum=0.9, nesterov=True, weight_decay=0.1), model.trainable
    )
    parts = Parts(
        model,
        METHOD,
        optimizer,
        schedule=lambda step: jnp.where(step < 1, -0.05, 0.05),  # official ones start negative
        augment=lambda key, x: x[:, None] / 255,
        dtype=jnp.float32,
    )
    state = train_state.create(jax.random.key(0), parts, (8, 8, 3))
    return state, train_step.make_step(parts)


def images(n=8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), np.zeros(n, np.int32)


@functools.cache
def run(trainable, **choices):
    """The state before, after one step and after three."""
    state, step = built(trainable, **choices)
    step, states = jax.jit(step), [state]
    for _ in range(3):
        state, metrics = step(state, *images())
        assert metrics["skipped"] == 0
        states.append(state)
    return states[0], states[1], states[3]


def changed(before, after):
    """The stages in which any array differs, and those in which every array does."""
    same = {}
    for path, a in jax.tree.leaves_with_path(before):
        b = after
        for key in path:
            b = b[key.key]
        same.setdefault(stages.of(tuple(k.key for k in path)), []).append(np.array_equal(a, b))
    return {s for s, all_ in same.items() if not all(all_)}, {
        s for s, all_ in same.items() if not any(all_)
    }


@pytest.mark.parametrize(
    ("trainable", "stages_"),
    [
        ("", {"stem", "layer1", "layer2", "layer3", "layer4", "head"}),
        ("layer4,head", {"layer4", "head"}),
        (("head",), {"head"}),
        ("stem, layer3", {"stem", "layer3"}),
    ],
)
def test_only_the_named_stages_change(trainable, stages_):
    before, _, after = run(trainable)
    assert changed(before.params, after.params) == (stages_, stages_)
    assert changed(before.batch_stats, after.batch_stats)[0] == stages_ - {"head"}


def test_statistics_drift_as_in_the_official_code_on_request():
    before, _, after = run("layer2,head", frozen_batch_norm=False)
    assert changed(before.params, after.params)[1] == {"layer2", "head"}
    assert changed(before.batch_stats, after.batch_stats)[1] == set(stages.ENCODER)


def test_frozen_stages_run_as_in_evaluation():
    """With everything but the head frozen, training features are those of evaluation."""
    state, _ = built("head")
    model = models.make("resnet18", **SIZES, trainable="head")
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    x = jnp.asarray(images()[0] / 255, jnp.float32)
    apply = jax.jit(model.apply, static_argnums=2)
    train, stats = apply(variables, x, True)
    evaluation, _ = apply(variables, x, False)
    np.testing.assert_array_equal(train.features, evaluation.features)
    jax.tree.map(np.testing.assert_array_equal, stats, state.batch_stats)


def test_trained_stages_get_the_gradients_they_would_get_anyway():
    """Batch normalisation left in training mode: one network, with and without frozen stages."""
    _, whole, _ = run("")
    _, part, _ = run("layer2,head", frozen_batch_norm=False)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
        whole.params["encoder"]["layer2_0"],
        part.params["encoder"]["layer2_0"],
    )
    jax.tree.map(np.testing.assert_array_equal, whole.batch_stats, part.batch_stats)


def test_frozen_parameters_have_no_optimiser_state():
    size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))  # noqa: E731
    state, _ = built("layer4,head")
    trained = size(state.params["head"]) + size(state.params["encoder"]["layer4_0"])
    assert size(state.opt_state) == trained


@pytest.mark.parametrize("conv", ["xla", "matmul_backward"])
@pytest.mark.parametrize("remat", [False, True])
def test_what_comes_before_the_first_trained_stage_has_no_backward_pass(conv, remat):
    """FLOPs of the step as traced: autodiff does not even write that part down."""

    sizes = {"width": 8, "blocks": (1, 1, 0, 0)}

    def cost(trainable):
        state, _ = built(trainable, **sizes)  # the same however it is computed
        _, step = built(trainable, **sizes, conv=conv, conv_chunk=None, remat=remat)
        return jax.jit(step).lower(state, *images()).cost_analysis()["flops"]

    model = models.make("resnet18", **SIZES | sizes)
    forward = 8 * model.flops_per_image(8, 8)
    assert cost("") > 2.2 * forward
    assert cost("head") < 1.5 * forward


def test_unknown_stages_are_named():
    with pytest.raises(InputError, match=r"'layer5' \(did you mean 'layer\d'\?\).*stem, layer1"):
        models.make("resnet18", trainable="layer5,head")
    with pytest.raises(InputError, match="layer4, fc$"):
        models.make("resnet18", trainable="head", head="linear", num_classes=3)
    assert models.make("resnet18", trainable=" , ").trainable is None
