"""The comparison with official programs, without any: a repository made here stands in for them."""

import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from adapt_jax import methods
from adapt_jax.models import torch_names
from adapt_jax.models.base import Model, ModelOutputs
from adapt_jax.training import optimizers, schedules, train_state
from adapt_jax.training.parts import Parts
from benchmarks.parity import augmentation, checkout, compare, independent, ours

PROGRAM = '''
"""Softmax regression by SGD with Nesterov momentum, in NumPy; imports what nobody needs."""
import numpy as np
from an_absent_module import Logger


def train(weight, batches, rate, momentum, decay, nesterov=True):
    buffer, losses = np.zeros_like(weight), []
    for images, labels in batches:
        rows = images.reshape(-1, weight.shape[1])
        scores = rows @ weight.T
        scores = scores - scores.max(axis=1, keepdims=True)
        chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        losses.append(-np.log(chance[np.arange(len(rows)), labels]).mean())
        slope = (chance - np.eye(len(weight))[labels]).T @ rows / len(rows) + decay * weight
        buffer = momentum * buffer + slope
        weight = weight - rate * (slope + momentum * buffer if nesterov else buffer)
    return weight, np.array(losses)
'''


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout, and the interpreter as it was when the test is over."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    package = tmp_path / "standin"
    package.mkdir()
    (package / "__init__.py").write_text("import everything_else")
    (package / "trainer.py").write_text(PROGRAM)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def softmax_regression(features: int, classes: int) -> Parts:
    """The program's model and recipe as this library's parts."""

    def init(key, image_shape, dtype):
        kernel = jax.random.normal(key, (features, classes), dtype)
        return {"params": {"fc": {"kernel": kernel}}, "batch_stats": {}}

    def apply(variables, images, train):
        rows = images.reshape(len(images), -1)
        logits = rows @ variables["params"]["fc"]["kernel"]
        return ModelOutputs(rows, None, logits), {}

    return Parts(
        Model("linear", init, apply, features, None, classes, lambda h, w: 0, lambda v: None),
        methods.make("cross_entropy", num_classes=classes, feature_dim=features),
        optimizers.sgd(momentum=0.9, nesterov=True, weight_decay=1e-3),
        schedules.make("constant", base_lr=0.3, total_steps=6, steps_per_epoch=3),
        lambda key, views: views,
        jnp.float64,
    )


def both(repository, **changes):
    """The two sides' groups after two epochs of three batches."""
    checkout.enter(str(repository), stubs=["an_absent_module"], bare=["standin"])
    program = importlib.import_module("standin.trainer")
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(2, 3, 8, 1, 2, 2, 3)), rng.integers(0, 4, (2, 3, 8))
    epochs = [
        [ours.Batch(i, y.astype(np.int32)) for i, y in zip(*epoch)] for epoch in zip(images, labels)
    ]
    with jax.enable_x64(True):
        parts = softmax_regression(12, 4)
        state = train_state.create(jax.random.key(0), parts, (2, 2, 3))
        start = ours.to_torch(ours.variables_of(state), torch_names.OFFICIAL)
        end, said = ours.train(parts, state, epochs)
        mine = ours.to_torch(ours.variables_of(end), torch_names.OFFICIAL)
    batches = [(b.views[:, 0], b.labels) for epoch in epochs for b in epoch]
    weight, losses = program.train(start["fc.weight"], batches, 0.3, 0.9, 1e-3, **changes)
    return (
        {"losses": {"loss": said["loss"]}, "weights": mine},
        {"losses": {"loss": losses}, "weights": {"fc.weight": weight}},
    )


def test_a_program_that_does_the_same_agrees(repository):
    rows = compare.compare(*both(repository), 1e-12)
    assert [row.what for row in rows] == ["losses", "weights"]
    assert all(row.agrees for row in rows), rows
    assert not list(repository.rglob("*.pyc"))


def test_a_program_that_does_not_is_found_out(repository):
    losses, weights = compare.compare(*both(repository, nesterov=False), 1e-3)
    assert not losses.agrees
    assert not weights.agrees
    assert "**no: above 1e-03**" in compare.table([weights])


def test_a_folder_that_is_not_there():
    with pytest.raises(SystemExit, match="is no folder"):
        checkout.enter("/nowhere/at/all")


@pytest.mark.parametrize(("theirs", "agrees"), [(1.0 + 1e-9, True), (1.1, False), (np.nan, False)])
def test_a_difference_beyond_the_limit_disagrees(theirs, agrees):
    sides = [{"weights": {"w": np.array([v, 0.0])}} for v in (1.0, theirs)]
    (row,) = compare.compare(*sides, 1e-8)
    assert row.agrees is agrees


def test_the_limit_is_relative_to_large_values():
    sides = [{"weights": {"w": np.array([v])}} for v in (1000.0, 1000.001)]
    assert compare.compare(*sides, {"weights": 2e-6})[0].agrees
    assert not compare.compare(*sides, {"weights": 5e-7})[0].agrees


@pytest.mark.parametrize(
    "theirs",
    [{}, {"v": np.zeros(2)}, {"w": np.zeros((2, 1))}, {"w": np.zeros(2), "v": np.zeros(1)}],
)
def test_what_one_side_lacks_is_refused(theirs):
    with pytest.raises(ValueError, match="weights"):
        compare.compare({"weights": {"w": np.zeros(2)}}, {"weights": theirs}, 1e-8)


def test_losses_are_compared_in_tenths_of_the_steps():
    theirs = {"loss": np.where(np.arange(20) < 15, 1e-15, 0.5)}
    rows = compare.compare(compare.tenths({"loss": np.zeros(20)}), compare.tenths(theirs), 1e-8)
    assert [row.difference for row in rows] == [1e-15] * 7 + [0.5] * 3
    assert rows[0].what == "losses, steps 1 to 2"
    assert rows[9].what == "losses, steps 19 to 20"
    assert len(compare.tenths({"loss": np.zeros(3)})) == 3


@pytest.mark.parametrize(
    ("control", "agrees"), [(None, False), (1e-3, False), (0.02, True), (np.inf, False)]
)
def test_ten_times_the_difference_of_the_control_is_allowed(control, agrees):
    row = compare.Row("losses", 0.1, 5.0, 1e-8, control)
    assert row.agrees is agrees
    assert ("10 x control" in compare.table([row])) is agrees


def test_a_nudge_changes_every_weight_by_its_relative_size():
    weights = {"w": np.array([[1.0, -3.0], [0.5, 1e-5]]), "b": np.zeros(2)}
    found = compare.nudged(weights, 1e-14)
    change = np.abs(found["w"] - weights["w"]) / np.abs(weights["w"])
    np.testing.assert_allclose(change, 1e-14, rtol=0.05)
    np.testing.assert_array_equal(found["b"], 0)
    with pytest.raises(ValueError, match="below 2.2e-16"):
        compare.nudged(weights, 1e-16)


@pytest.mark.parametrize("prefix", ["encoder.", "backbone."])
def test_weights_go_to_pytorch_and_back(prefix):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 2, 4, 5)).astype(np.float32)
    linear = rng.normal(size=(6, 7)).astype(np.float32)
    stats = rng.normal(size=5).astype(np.float32)
    variables = {
        "params": {
            "encoder": {"layer2_0": {"shortcut_conv": {"kernel": kernel}}},
            "head": {"hidden": {"kernel": linear}},
        },
        "batch_stats": {"encoder": {"bn1": {"mean": stats}}},
    }
    state = ours.to_torch(variables, torch_names.Layout(prefix))
    weight = state[f"{prefix}layer2.0.shortcut.0.weight"]
    assert weight.shape == (5, 4, 3, 2)
    assert weight[1, 2, 0, 1] == kernel[0, 1, 2, 1]
    assert state["head.0.weight"][3, 2] == linear[2, 3]
    back = torch_names.from_torch(state, variables)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    found = ours.groups(state | {"bn1.num_batches_tracked": np.array(3)})
    assert list(found["batch statistics"]) == [f"{prefix}bn1.running_mean"]
    assert len(found["weights"]) == 2


def pictures(seed, strength):
    """Random smooth colour images, and a view of each with another brightness."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 160, (400, 4, 4, 3))
    images = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
    factors = rng.uniform(1 - strength, 1 + strength, (400, 1, 1, 1))
    return augmentation.statistics(np.round(images * factors), images)


def test_equal_augmentations_are_not_told_apart_and_others_are():
    first, again, weaker = pictures(0, 0.4), pictures(1, 0.4), pictures(2, 0.2)
    assert len(first) == 17
    assert all(values.shape == (400,) for values in first.values())
    assert min(row.p for row in augmentation.compare(first, again)) > 0.05
    found = augmentation.compare(first, weaker)
    assert found[0].name == "mean of R, relative"
    assert found[0].p < 1e-6
    assert len(augmentation.table(found).splitlines()) == 19


def test_a_batch_by_class_keeps_its_order_within_a_class():
    batch = ours.Batch(np.arange(10.0).reshape(5, 2, 1, 1, 1), np.array([2, 0, 2, 1, 0]))
    found = ours.by_class(batch)
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 2, 2])
    np.testing.assert_array_equal(found.views[:, 0].ravel(), [2, 8, 6, 0, 4])


def test_independent_runs_are_compared_row_by_row():
    rng = np.random.default_rng(0)
    official, mine = (
        [{"loss": x, "AUROC": y} for x, y in zip(rng.normal(5, 1, n), rng.normal(mean, 1, n))]
        for n, mean in ((9, 60), (8, 63))
    )
    lines = independent.table(official, mine).splitlines()
    assert lines[0] == "| | official, 9 runs | ours, 8 runs | p (Welch) | p (Holm) |"
    raw = []
    for line, name in zip(lines[2:], ("loss", "AUROC"), strict=True):
        a, b = (np.array([run[name] for run in runs]) for runs in (official, mine))
        variances = a.var(ddof=1) / 9, b.var(ddof=1) / 8
        t = (a.mean() - b.mean()) / np.sqrt(sum(variances))
        freedom = sum(variances) ** 2 / (variances[0] ** 2 / 8 + variances[1] ** 2 / 7)
        raw.append(2 * stats.t.sf(abs(t), freedom))
        assert line.split(" | ")[1] == f"{a.mean():.2f} ± {a.std(ddof=1):.2f}"
        assert line.split(" | ")[3] == f"{raw[-1]:.3f}"
    assert raw[0] > 0.05 > raw[1]


def test_figures_of_a_run_are_its_last_epoch_and_percent():
    metrics = {"AUROC": {"maha mnist": np.array(0.75)}, "FPR95": {"maha mnist": np.array(0.5)}}
    found = independent.figures(np.array([9.0, 9, 3, 5]), metrics, 2)
    assert found == {
        "loss of the last epoch": 4.0, "AUROC, maha mnist": 75.0, "FPR95, maha mnist": 50.0
    }  # fmt: skip
