"""`tfds:` on a small set of our own, prepared and read without TensorFlow."""

import io
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import check, decode, load
from adapt_jax.data.formats import tfds


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """`tiny_things`: 30 training and 9 test images of 3 classes, of two sizes."""
    import tensorflow_datasets as tfds

    class TinyThings(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(shape=(None, None, 3)),
                        "label": tfds.features.ClassLabel(names=["ant", "bee", "cow"]),
                    }
                ),
            )

        def _split_generators(self, manager):
            return {"train": self._examples(30), "test": self._examples(9)}

        def _examples(self, count):
            for i in range(count):
                file = io.BytesIO()
                size = 8 + 8 * (i % 2)
                Image.new("RGB", (size, size), (i, 2 * i, i % 3)).save(file, "PNG")
                yield i, {"image": file.getvalue(), "label": i % 3}

        def _generate_examples(self):
            raise NotImplementedError

    root = tmp_path_factory.mktemp("tfds")
    TinyThings(data_dir=root, file_format="array_record").download_and_prepare()
    return root


@pytest.fixture
def data_dir(prepared, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    monkeypatch.setenv("ADAPT_JAX_CACHE", str(tmp_path / "cache"))
    return prepared


def test_load(data_dir):
    check("tfds:tiny_things:test")
    data = load("tfds:tiny_things:test", 8, labeled=True)
    assert data.images.shape == (9, 8, 8, 3)
    assert data.class_names == ("ant", "bee", "cow")
    np.testing.assert_array_equal(data.images[:, 3, 3, 2], data.labels)
    assert sorted(data.images[:, 0, 0, 0].tolist()) == list(range(9))
    assert data.names[2] == "tfds:tiny_things:test[2]"
    again = load("tfds:tiny_things:test", 8, progress=lambda *_: pytest.fail("decoded again"))
    assert again.content_sha256 == data.content_sha256


def test_reading_when_needed(data_dir):
    """Records as they are stored go to other processes; together they are the decoded set."""
    source = "tfds:tiny_things:test?classes=1+2"
    whole, lazy = load(source, 8), load(source, 8, at_most=0)
    np.testing.assert_array_equal(lazy.images[1:5], whole.images[1:5])
    records = [lazy.images.encoded(i) for i in range(len(whole.images))]
    assert all(isinstance(record, bytes) for record in records)
    np.testing.assert_array_equal([decode.fit(decode.opened(r), 8) for r in records], whole.images)
    assert load(source, 8, at_most=0).content_sha256 == lazy.content_sha256
    assert load("tfds:tiny_things:test", 8, at_most=0).content_sha256 != lazy.content_sha256


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("tiny_things", 30),
        ("tiny_things:train[:50%]", 15),
        ("tiny_things:train+test", 39),
        ("tiny_things:1.0.0:test", 9),
        ("tiny_things:test[:1]", 1),
        ("tiny_things:train?classes=1+2&limit=12", 12),
    ],
)
def test_splits(data_dir, place, count):
    data = load(f"tfds:{place}", 8)
    assert len(data.images) == len(data.labels) == len(data.names) == count
    if "classes" in place:
        assert data.class_names == ("bee", "cow")
        np.testing.assert_array_equal(data.images[:, 0, 0, 2] - 1, data.labels)


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("tiny_things:val", "splits: train, test"),
        ("tiny_things:train[", "splits: train, test"),
        ("tiny_things:train[:0]", "cannot read split"),
        ("ti ny", "expected tfds:NAME"),
    ],
)
def test_bad_splits_and_names(data_dir, place, word):
    with pytest.raises(InputError, match=word):
        load(f"tfds:{place}", 8)


def test_not_prepared_and_no_tensorflow(data_dir, monkeypatch):
    real = tfds.importlib.util.find_spec
    missing = {"tensorflow"}

    def find(name):
        return None if name in missing else real(name)

    monkeypatch.setattr(tfds.importlib.util, "find_spec", find)
    load("tfds:tiny_things:test", 8)
    with pytest.raises(InputError, match="pip install tensorflow-cpu"):
        check("tfds:cifar10:test")
    with pytest.raises(InputError, match="pip install tensorflow-cpu"):
        load("tfds:tiny_things:2.0.0:test", 8)
    missing.add("tensorflow_datasets")
    with pytest.raises(InputError, match=r"pip install -e '\.\[tfds"):
        check("tfds:tiny_things:test")


def test_another_file_format_is_refused(data_dir, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "old" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "old-train.tfrecord-00000-of-00001").write_text("")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(InputError, match="not in ArrayRecord format"):
        check("tfds:old")


def test_a_failed_preparation_says_why(data_dir, tmp_path, monkeypatch):
    """The subprocess for a name TFDS does not know; TensorFlow is pretended to be there."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    real = tfds.importlib.util.find_spec
    monkeypatch.setattr(tfds.importlib.util, "find_spec", lambda n: real("io") or n)
    with pytest.raises(InputError, match=r"DatasetNotFoundError.*prepare_tfds no_such_set"):
        load("tfds:no_such_set", 8)


def test_reading_never_imports_tensorflow(data_dir):
    code = """
        import sys
        from adapt_jax.data import load
        assert load("tfds:tiny_things:test", 8, labeled=True).images.shape == (9, 8, 8, 3)
        print([m for m in ("tensorflow", "torch", "jax") if m in sys.modules])
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=os.environ.copy())
    assert done.stdout.strip() == "[]"
