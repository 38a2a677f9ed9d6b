"""Training on images that stay files: order, crops, stops, kills, several devices, mistakes."""

import contextlib
import os
import pathlib
import signal
import time

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from adapt_jax import methods, train
from adapt_jax.core import patience
from adapt_jax.core.errors import InputError, NoAnswer, TrainingFailed
from adapt_jax.data import sources
from adapt_jax.data.augment.host_crops import Crops
from adapt_jax.experiment import checks, derived, record
from adapt_jax.inference.restore import restore
from adapt_jax.runtime import sharding
from adapt_jax.training import (
    device_feed,
    host_feed,
    train_state,  # fmt: skip
)
from adapt_jax.workdir import logbook
from tests.commands import Command
from tests.e2e import small

IMAGES, BATCH = 44, 16  # three steps an epoch, the last one filled up
STEPS = 32
RECIPE = "digits_supcon.py"  # of runs whose method does not matter: it compiles soonest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """JPEGs of 30 to 60 pixels a side from two photos, which are the classes."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part, count in (("train", IMAGES // 2), ("test", 5)):
        for name, photo in zip("ab", load_sample_images().images, strict=True):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                tall, wide = rng.integers(30, 60, 2)
                top, left = rng.integers(0, 300, 2)
                patch = Image.fromarray(photo[top : top + tall, left : left + wide])
                patch.save(root / part / name / f"{i:02}.jpg", quality=95)
    return root


def chosen(folder, **overrides):
    return {
        "train_data": f"folder:{folder / 'train'}",
        "test_data": f"folder:{folder / 'test'}",
        "ood": "",
        "input": "host",
        "input_workers": 0,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "image_size": 16,
        "batch_size": BATCH,
        "augment__jitter_probability": 0.0,
        "augment__grayscale": 0.0,
        "total_steps": STEPS,
        "log_every": 1,
        "checkpoint_every": 8,
        **overrides,
    }


def assert_same(a, b):
    a, b = a._replace(key=jax.random.key_data(a.key)), b._replace(key=jax.random.key_data(b.key))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def children(process):
    """Ids of a process's own processes."""
    tasks = pathlib.Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for path in tasks for word in path.read_text().split()]


def alive(process):
    try:
        return "(zombie)" not in pathlib.Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition, running=None, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert running is None or running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_and_stopped_run_ends_as_an_unbroken_one_and_leaves_nobody(folder, tmp_path):
    """kill -9 in one epoch, SIGTERM in another, other workers every time: the same bits."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    # Processes of one kind: with another number of threads float32 is rounded in another order.
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}

    def start(workdir, **overrides):
        return Command(*small.arguments(workdir, RECIPE, **chosen(folder, **overrides)), env=env)

    unbroken, running = start(whole), start(broken, input_workers=2, prefetch=3)
    until(lambda: len(logbook.read(broken)) >= 10, running)
    its_workers = children(running.pid)
    running.kill()
    out, _ = running.communicate(timeout=60)
    assert len(its_workers) == 2
    until(lambda: not any(map(alive, its_workers)), seconds=20)
    assert len(logbook.read(broken)) < STEPS
    assert "MiB decoded, input=host)" in " ".join(out.split())
    assert "images read by 2 workers, 3 batches ahead" in " ".join(out.split())

    reached = len(logbook.read(broken)) + 3
    running = start(broken, input_workers=1)
    until(lambda: len(logbook.read(broken)) >= reached, running)
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert "the same command resumes" in out
    assert reached <= (saved := len(logbook.read(broken))) < STEPS
    assert (broken / "checkpoints" / str(saved) / "commit_success.txt").exists()
    running = start(broken)
    for process in (running, unbroken):
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert all(0 <= r["input_wait"] <= 1 for r in logbook.read(whole))
    config = small.config(RECIPE, **chosen(folder))
    experiment = record.make(config, checks.load_data(config))
    assert_same(*(restore(experiment, place) for place in (whole, broken)))
    losses = [[r["loss"] for r in logbook.read(place)] for place in (whole, broken)]
    assert losses[0] == losses[1]


def test_what_a_method_makes_of_the_whole_set_is_the_same(folder):
    """CIDER starts from class means: from files in batches as from decoded images."""
    found = []
    for kept in ("device", "host"):
        cider = {"name": "cider", "params": methods.defaults("cider")}
        config = small.config(**chosen(folder, input=kept, method=cider))
        experiment = record.make(config, checks.load_data(config))
        state = train.initial_state(experiment)
        found.append(train.epoch_hook(experiment)(state, 0).method_state)
    assert np.isfinite(found[0].prototypes).all()
    jax.tree.map(np.testing.assert_array_equal, *found)


def seen(state, images, labels):
    """A step that learns nothing and reports which images it got, and a sum of their pixels."""
    pixels = images.reshape(len(images), -1).astype("int32").sum(axis=1)
    metrics = {"loss": pixels.sum(), "labels": labels, "pixels": pixels}
    return state._replace(step=state.step + 1), metrics


@contextlib.contextmanager
def feeding(kind, folder, step, params=(), **overrides):
    """A feed of the folder's images to a step of ours, and the state before the first."""
    config = small.config(**chosen(folder, log_every=100, checkpoint_every=100, **overrides))
    mesh = sharding.make_mesh()
    at_most = None if kind is device_feed.DeviceFeed else 0
    images = sources.load(config.train_data, config.image_size, at_most=at_most).images
    key = jax.random.key(config.seed)
    state = train_state.TrainState(np.int32(0), params, (), (), (), key)
    state = sharding.replicate(mesh, state)
    labels = np.arange(len(images), dtype=np.int32)
    plan, host_input = derived.plan_of(config, len(images)), derived.host_input(config)
    own = (host_input,) if kind is host_feed.HostFeed else ()
    feed = kind(step, plan, mesh, images, labels, state, *own)
    try:
        yield feed, state
    finally:
        feed.close()


def fed(kind, folder, steps, **overrides):
    """What `seen` reports of so many steps of a feed, (steps, B) each."""
    with feeding(kind, folder, seen, **overrides) as (feed, state):
        return take(feed, state, steps)[1]


def take(feed, state, steps):
    """The state after so many steps, one at a time, and their metrics."""
    log = []
    for _ in range(steps):
        state, metrics = feed.run(state, 1)
        log.append(metrics)
    return state, {name: np.concatenate([m[name] for m in log]) for name in log[0]}


def test_both_feeds_visit_the_same_images_in_the_same_order(folder):
    device = fed(device_feed.DeviceFeed, folder, 7)["labels"]
    for workers, prefetch in ((0, 1), (2, 3)):
        host = fed(host_feed.HostFeed, folder, 7, input_workers=workers, prefetch=prefetch)
        np.testing.assert_array_equal(host["labels"], device)
    assert set(device[:3].ravel()) == set(range(IMAGES))
    assert (device[:3] != device[3:6]).any()


def test_the_host_feeds_the_crops_it_should(folder):
    config = small.config(**chosen(folder))
    data = np.asarray(jax.random.key_data(jax.random.key(config.seed)))
    crops = Crops(16, config.views, tuple(config.augment.crop_scale), tuple(map(int, data)))
    images = sources.load(config.train_data, 16, at_most=0).images
    host = fed(host_feed.HostFeed, folder, 4, input_workers=1)
    for step, (labels, pixels) in enumerate(zip(host["labels"], host["pixels"], strict=True)):
        for i, total in zip(labels, pixels, strict=True):
            with Image.open(images.encoded(i)) as image:
                assert crops.cut(image, step, i).sum(dtype=int) == total


@pytest.mark.usefixtures("x64")
def test_eight_devices_take_the_same_steps(folder, monkeypatch):
    """A regression of labels on pixels, in float64: small differences would show."""
    flat = 2 * 16 * 16 * 3

    def step(state, images, labels):
        rows = images.reshape(len(images), flat).astype("float64") / 255
        error = rows @ state.params - labels
        gradient = rows.T @ error / len(images)
        metrics = {"loss": jax.numpy.mean(error**2)}
        return state._replace(step=state.step + 1, params=state.params - 1e-3 * gradient), metrics

    ends = []
    for count in (1, 8):
        mesh = jax.sharding.Mesh(
            np.asarray(jax.devices()[:count]),
            (sharding.AXIS,),
            axis_types=(jax.sharding.AxisType.Auto,),
        )
        monkeypatch.setattr(sharding, "make_mesh", lambda devices=None, mesh=mesh: mesh)
        with feeding(host_feed.HostFeed, folder, step, np.zeros(flat)) as (feed, state):
            state, metrics = take(feed, state, 7)
        assert len(state.params.sharding.device_set) == count
        ends.append((np.asarray(state.params), metrics["loss"]))
    (one, losses), (eight, same) = ends
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(same, losses, rtol=1e-12)
    np.testing.assert_allclose(eight, one, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named(folder, tmp_path, workers):
    bad = tmp_path / "train" / "b"
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for path in (folder / "train" / name).glob("*.jpg"):
            (tmp_path / "train" / name / path.name).write_bytes(path.read_bytes())
    (bad / "07.jpg").write_bytes((bad / "07.jpg").read_bytes()[:300])
    with pytest.raises(InputError, match=r"cannot read image b/07\.jpg .*; replace or remove it"):
        fed(host_feed.HostFeed, tmp_path, 4, input_workers=workers)


def test_a_worker_that_is_killed_ends_the_run_with_a_sentence(folder):
    before = set(children(os.getpid()))
    with feeding(host_feed.HostFeed, folder, seen, input_workers=1) as (feed, state):
        state, _ = feed.run(state, 1)
        (worker,) = set(children(os.getpid())) - before
        os.kill(worker, signal.SIGKILL)
        expected = r"killed by signal 9\) at or before image [ab]/\d\d\.jpg"
        with pytest.raises(TrainingFailed, match=expected):
            take(feed, state, 9)
    assert not alive(worker)


def test_a_worker_that_is_stopped_ends_the_run_with_a_sentence(folder, monkeypatch):
    monkeypatch.setattr(patience, "SECONDS", 2)
    before = set(children(os.getpid()))
    with feeding(host_feed.HostFeed, folder, seen, input_workers=1) as (feed, state):
        (worker,) = set(children(os.getpid())) - before
        os.kill(worker, signal.SIGSTOP)
        expected = rf"image [ab]/\d\d\.jpg or .* \(process {worker}, an input worker, was stopped"
        with pytest.raises(NoAnswer, match=expected):
            take(feed, state, 9)
    assert not alive(worker)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": (), "std": ()}, "set the config fields mean and std"),
        ({"input": "hots"}, "input is one of auto, device, host; got 'hots'"),
        ({"prefetch": 0}, "prefetch must be at least 1"),
    ],
)
def test_mistakes_are_found_before_anything_starts(folder, changes, words):
    config = small.config(**chosen(folder, **changes))
    with pytest.raises(InputError, match=words):
        checks.check_config(config), checks.load_data(config)
