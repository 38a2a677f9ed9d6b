"""A bucket's folder and its copy on this machine, with a stand-in for Google Cloud Storage."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest

from adapt_jax.core.errors import InputError, TrainingFailed
from adapt_jax.runtime import buckets
from adapt_jax.workdir import checkpoints, folders
from tests.runtime.bucket_server import running

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gcsfs") is None, reason="pip install gcsfs"
)
ADDRESS = "gs://mine/runs/one"


@pytest.fixture(scope="module")
def server():
    with running() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    """What the bucket holds, by name."""
    server.objects.clear()
    monkeypatch.setenv("ADAPT_JAX_CACHE", str(tmp_path))
    return lambda: {name: found.content for (_, name), found in server.objects.items()}


def test_what_a_job_changes_is_sent(bucket, server):
    server.put(("mine", "runs/one/old.txt"), b"old")
    server.put(("mine", "runs/one/scores/a=1/id.npz"), b"id")
    server.put(("mine", "runs/other/x"), b"not this run's")
    path = folders.prepare(ADDRESS, bucket=True)
    assert (path / "scores/a=1/id.npz").read_bytes() == b"id"
    with folders.locked(path):
        (path / "old.txt").unlink()
        (path / "results.json").write_text("{}")
        (path / ".half.tmp").write_text("no")
        generation = server.objects["mine", "runs/one/scores/a=1/id.npz"].generation
    assert bucket() == {
        "runs/one/scores/a=1/id.npz": b"id",
        "runs/one/results.json": b"{}",
        "runs/other/x": b"not this run's",
    }
    assert server.objects["mine", "runs/one/scores/a=1/id.npz"].generation == generation
    assert str(buckets.home(path)) == ADDRESS


@pytest.mark.parametrize("name", ["../../outside", "scores/../../../outside", "scores//x", "./x"])
def test_a_bucket_writes_nothing_outside_the_copy(bucket, server, tmp_path, name):
    server.put(("mine", f"runs/one/{name}"), b"hostile")
    with pytest.raises(InputError, match="is no path below it"):
        buckets.local(ADDRESS)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.read_bytes() == b"hostile"]


def test_the_copy_follows_the_bucket(bucket, server):
    server.put(("mine", "runs/one/a"), b"1")
    path = buckets.local(ADDRESS)
    (path / "a").write_text("changed here and never sent")
    (path / "b").write_text("never sent")
    (path / ".complete.tmp/scores").mkdir(parents=True)  # of a program that was killed
    server.put(("mine", "runs/one/c"), b"3")
    assert buckets.local(f"{ADDRESS}/") == path
    assert not (path / ".complete.tmp").exists()
    assert {p.name: p.read_text() for p in path.glob("[!.]*")} == {"a": "1", "c": "3"}
    server.put(("mine", "runs/one/a"), b"2")
    with folders.locked(path):  # whoever works in the copy is not disturbed
        assert (buckets.local(ADDRESS) / "a").read_text() == "1"
    assert (buckets.local(ADDRESS) / "a").read_text() == "2"


def test_checkpoints_are_in_the_bucket(bucket):
    path = folders.prepare(ADDRESS, bucket=True)
    store = checkpoints.Checkpoints(path)
    for step in (1, 2, 3):
        store.save(step, state(step), loss=1.0 + step)
    store.close()
    assert not (path / "checkpoints").exists()
    assert checkpoints.steps_in(path) == [1, 2, 3]  # the best one is kept, too
    assert "runs/one/checkpoints/3/commit_success.txt" in bucket()


def state(step):
    from adapt_jax.training.train_state import TrainState

    return TrainState(
        jnp.int32(step), {"w": jnp.full((3,), step, jnp.float32)}, {}, (), (), jax.random.key(step)
    )


def test_a_half_written_checkpoint_does_not_count(bucket, server):
    path = folders.prepare(ADDRESS, bucket=True)
    store = checkpoints.Checkpoints(path)
    store.save(5, state(5), loss=1.0)
    store.close()
    del server.objects["mine", "runs/one/checkpoints/5/commit_success.txt"]
    assert checkpoints.steps_in(path) == []
    checkpoints.Checkpoints(path).close()
    assert not any("checkpoints" in name for name in bucket())


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("az://mine/run", "only gs:// and s3:// can"),
        ("https://mine/run", "only gs:// and s3:// can"),
    ],
)
def test_other_addresses_are_refused(address, words):
    with pytest.raises(InputError, match=words):
        folders.prepare(address, bucket=True)
    with pytest.raises(InputError, match="a mounted bucket"):
        folders.prepare(address)


def test_a_bucket_that_cannot_be_written(bucket, server, monkeypatch):
    path = folders.prepare(ADDRESS, bucket=True)
    server.refuses = "POST"
    try:
        with pytest.raises(InputError, match=r"gs://mine/runs/two cannot be used \(Forbidden"):
            folders.prepare("gs://mine/runs/two", bucket=True)
        (path / "a").write_text("a")
        with (
            pytest.raises(TrainingFailed, match="what is missing there is in"),
            folders.locked(path),
        ):
            pass
    finally:
        server.refuses = ""
    assert bucket() == {}
