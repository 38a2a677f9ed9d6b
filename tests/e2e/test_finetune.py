"""Runs that start from PyTorch weights and train a part of the network."""

import os
import signal

import jax
import numpy as np
import pytest

from adapt_jax import models, train
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import checks, record
from adapt_jax.inference.restore import restore
from adapt_jax.models.torch_names import Layout, torch_name
from adapt_jax.workdir import logbook
from tests.e2e import small

CHOICES = {
    "recipe": "digits_supcon.py",
    "model__blocks": (1, 1, 0, 0),
    "ood": "",
    "total_steps": 6,
    "log_every": 2,
    "checkpoint_every": 3,
}
pytestmark = pytest.mark.usefixtures("one_program")
CLASSIFIER = {"name": "cross_entropy", "params": {"label_smoothing": 0.0}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file in pytorch/vision's names that fits the small network, with a classifier, and it."""
    shapes = jax.eval_shape(
        models.make("resnet18", width=8, blocks=(1, 1, 0, 0), head="linear", num_classes=6).init,
        jax.random.key(0),
    )
    rng, state = np.random.default_rng(0), {}
    for path, leaf in jax.tree.leaves_with_path(shapes):
        name = torch_name(tuple(k.key for k in path[1:]), Layout("", "downsample"))
        shape = tuple(leaf.shape[axis] for axis in {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim])
        scale = 1.0 if name.endswith("var") else 0.3
        state[name] = (scale * rng.uniform(0.5, 1.5, shape)).astype(np.float32)
        if len(shape) > 1:
            state[name] *= rng.choice([-1, 1], shape)
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    np.savez(path, **state)
    return path, state


def final_state(workdir, config):
    return restore(record.make(config, checks.load_data(config)), workdir)


def test_frozen_stages_keep_the_files_weights_and_a_resumed_run_equals_a_whole_one(
    weights, tmp_path, capsys, monkeypatch
):
    path, state = weights
    started = {"model__pretrained": str(path), "model__trainable": "layer2,head"}
    config = small.config(**CHOICES, **started)
    train.train(config, str(tmp_path / "whole"))
    told = " ".join(capsys.readouterr().out.split())
    assert "head starts untrained" in told
    assert "ignored fc.bias, fc.weight" in told
    whole = final_state(tmp_path / "whole", config)
    encoder = whole.params["encoder"]
    kernel = np.asarray(encoder["layer1_0"]["conv1"]["kernel"]).transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(kernel, state["layer1.0.conv1.weight"])
    np.testing.assert_array_equal(
        whole.batch_stats["encoder"]["bn1"]["var"], state["bn1.running_var"]
    )
    trained = np.asarray(encoder["layer2_0"]["conv1"]["kernel"]).transpose(3, 2, 0, 1)
    assert not np.array_equal(trained, state["layer2.0.conv1.weight"])

    with monkeypatch.context() as patch:
        record_values = logbook.Logbook.record

        def record_then_interrupt(self, step, values):
            record_values(self, step, values)
            if step == 2:
                os.kill(os.getpid(), signal.SIGTERM)  # saved after the next step

        patch.setattr(logbook.Logbook, "record", record_then_interrupt)
        with pytest.raises(SystemExit):
            train.train(config, str(tmp_path / "parts"))
    assert 0 < logbook.read(tmp_path / "parts")[-1]["step"] < 6
    train.train(config, str(tmp_path / "parts"))
    parts = final_state(tmp_path / "parts", config)
    for a, b in zip(whole[:5], parts[:5], strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_classifier_starts_from_the_file_too(weights, tmp_path):
    path, state = weights
    choices = CHOICES | {"total_steps": 0, "method": CLASSIFIER, "model__feature_norm": 0.1}
    config = small.config(**choices, model__pretrained=str(path))
    train.train(config, str(tmp_path))
    found = final_state(tmp_path, config).params["fc"]["kernel"]
    np.testing.assert_array_equal(np.asarray(found).T, state["fc.weight"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model__pretrained": "none.npz"}, "none.npz does not exist"),
        ({"model__pretrained": "w.pth"}, "is a pickle"),
        ({"model__width": 4}, r"pretrained, .*bn1.bias is \(8,\), not \(4,\)"),
        ({"model__trainable": "layer3"}, "trainable names 'layer3'.*stages stem, layer1, layer2, "),
        ({"model__trainable": "layer7"}, "section model: trainable names 'layer7'"),
        ({"model__feature_norm": 0.1}, 'section model: feature_norm .* head="linear"'),
        ({"model__stem": "imagenet"}, "image_size must be at least 32"),
        (
            {"method": CLASSIFIER, "train_data": "digits:train"},
            "w.npz: its classifier has 6 classes, train_data 10; train on its",
        ),
    ],
)
def test_mistakes_are_found_before_images_are_read(
    weights, tmp_path, monkeypatch, overrides, message
):
    monkeypatch.setattr(checks, "load_data", lambda *_: pytest.fail("images were read"))
    chosen = CHOICES | {"model__pretrained": str(weights[0])} | overrides
    with pytest.raises(InputError, match=message):
        train.train(small.config(**chosen), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
