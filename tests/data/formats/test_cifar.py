"""CIFAR's python version, written here as its authors' files are; hostile files call nothing."""

import os
import pickle

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data import sources

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=3)  # bytes, as the files of Python 2 are read


@pytest.fixture
def hundred(tmp_path):
    folder = tmp_path / "cifar-100-python"
    split = {b"data": PIXELS, b"fine_labels": [2, 0, 1, 2], b"coarse_labels": [0, 0, 0, 0]}
    write(folder / "train", split | {b"filenames": [b"a.png", b"b.png", b"c.png", b"d.png"]})
    write(folder / "meta", {b"fine_label_names": [b"apple", b"bed", b"cup"]})
    return folder


def test_planes_become_pixels_and_fine_labels_are_taken(hundred):
    found = sources.load(f"cifar:{hundred}/train", 32)
    assert found.names == ("a.png", "b.png", "c.png", "d.png")
    assert found.class_names == ("apple", "bed", "cup")
    assert found.labels.tolist() == [2, 0, 1, 2]
    assert found.images[1, 5, 7].tolist() == [PIXELS[1, c * 1024 + 5 * 32 + 7] for c in range(3)]
    assert len(sources.load(f"cifar:{hundred}/train?classes=2", 32).images) == 2


def test_five_batches_of_cifar10_are_one_set(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    for i in range(1, 6):
        write(folder / f"data_batch_{i}", {b"data": PIXELS[:2] + np.uint8(i), b"labels": [0, 1]})
    write(folder / "batches.meta", {b"label_names": [b"airplane", b"bird"]})
    found = sources.load(f"cifar:{folder}/train", 32)
    assert found.images.shape == (10, 32, 32, 3)
    assert found.images[8, 0, 0, 0] == np.uint8(PIXELS[0, 0] + np.uint8(5))
    with pytest.raises(InputError, match="there is no file .*test_batch"):
        sources.check(f"cifar:{folder}/test")


def test_a_file_that_calls_something_is_refused_and_calls_nothing(hundred, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "called"),)

    write(hundred / "train", {b"data": Hostile(), b"fine_labels": [0]})
    with pytest.raises(InputError, match="it calls posix.mkdir"):
        sources.load(f"cifar:{hundred}/train", 32)
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    "content", [{b"data": [1], b"fine_labels": [0]}, {b"data": PIXELS.astype(np.int32)}, [1]]
)
def test_other_pickles_are_refused(hundred, content):
    write(hundred / "train", content)
    with pytest.raises(InputError, match="CIFAR"):
        sources.load(f"cifar:{hundred}/train", 32)


def test_the_folder_has_to_be_one_of_theirs(tmp_path):
    with pytest.raises(InputError, match="called cifar-10-batches-py or cifar-100-python"):
        sources.check(f"cifar:{tmp_path}/train")
