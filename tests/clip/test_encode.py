"""Batching changes nothing: any number of images or texts, any batch size, host results."""

import jax
import numpy as np
import pytest

from adapt_jax import clip
from adapt_jax.core.errors import InputError
from tests.conftest import GOLDEN


@pytest.fixture(scope="module")
def model():
    return clip.load(GOLDEN / "hf_clip_tiny.safetensors")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)


def test_images_in_ragged_batches(model, images):
    direct = np.asarray(model.encode_image(images))
    done = []
    whole = clip.encode_images(model, images, batch_size=4, progress=done.append)
    assert isinstance(whole, np.ndarray)
    assert whole.dtype == np.float32
    assert done == [4, 8, 11]
    np.testing.assert_allclose(whole, direct, atol=1e-5)
    parts = (images[a:b] for a, b in ((0, 3), (3, 3), (3, 10), (10, 11)))
    np.testing.assert_array_equal(clip.encode_images(model, parts, batch_size=4), whole)
    assert clip.encode_images(model, images[:0]).shape == (0, 24)


def test_texts_are_sorted_trimmed_and_returned_in_order(model):
    rng = np.random.default_rng(1)
    lengths = rng.integers(2, 17, 13)
    ids = np.zeros((13, 40), np.int64)  # padded beyond the context of 16
    for row, length in zip(ids, lengths):
        row[:length] = [598, *rng.integers(1, 597, length - 2), 599]
    rows = np.arange(15).reshape(3, 5) % 13
    direct = np.concatenate([model.encode_text(ids[r, :16]) for r in rows])[:13]
    shapes = []

    def put(batch):
        shapes.append(batch.shape)
        return jax.numpy.asarray(batch)

    got = clip.encode_texts(model, ids, batch_size=5, put=put)
    np.testing.assert_allclose(got, direct, atol=1e-5)
    assert [s[0] for s in shapes] == [5, 5, 5]
    assert {s[1] for s in shapes} == {8, 16}


def test_texts_that_do_not_fit_are_refused(model):
    with pytest.raises(InputError, match="vocabulary"):
        clip.encode_texts(model, np.full((2, 5), 600))
    with pytest.raises(InputError, match="context of 16"):
        clip.encode_texts(model, np.arange(20)[None] + 5)


def test_a_batch_split_over_devices(model, images):
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:4]), ("data",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    everywhere = model.placed(lambda params: jax.device_put(params, whole))
    seen = []

    def get(embeddings):
        seen.append(len(embeddings.sharding.device_set))
        return np.asarray(embeddings)

    got = clip.encode_images(
        everywhere, images, batch_size=8, put=lambda x: jax.device_put(x, split), get=get
    )
    assert seen == [4, 4]
    np.testing.assert_allclose(got, model.encode_image(images), atol=1e-5)
