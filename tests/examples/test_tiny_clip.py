"""The little CLIP learns, comes back from its folder, and never sees what is held out."""

import dataclasses
import functools
import re

import jax
import numpy as np
import pytest
import sklearn.datasets

from adapt_jax import clip
from adapt_jax.core.errors import InputError
from adapt_jax.data import sources
from examples.tiny_clip import caption_data, digits_clip

TEXTS = clip.tokenize(["zero", "a zebra", "the nice star", "something plain"])
SETTINGS = digits_clip.Settings(seed=3, steps=20, batch_size=24, pictures=4)


@pytest.fixture(scope="module", autouse=True)
def _shallow():
    """Towers of one block each, and one program for all that train with the same settings."""
    whole = digits_clip.ARCHITECTURE
    vision, text = (dataclasses.replace(t, layers=1) for t in (whole.vision, whole.text))
    shallow = dataclasses.replace(whole, vision=vision, text=text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits_clip, "ARCHITECTURE", shallow)
        patch.setattr(digits_clip, "make_step", functools.cache(digits_clip.make_step))
        yield


@pytest.fixture(scope="module")
def concepts():
    return caption_data.concepts(SETTINGS.seed, SETTINGS.pictures)


@pytest.fixture(scope="module")
def trained(concepts):
    return digits_clip.train(concepts, SETTINGS, report_progress=lambda text: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits_clip")
    digits_clip.build(folder, SETTINGS)
    return folder


def test_the_loss_falls(trained):
    _, losses = trained
    assert len(losses) == 10
    assert losses[-1] < losses[0] - 0.5


def test_the_same_seed_gives_the_same_weights_and_embeddings(trained, folder, concepts):
    params, _ = trained
    model = clip.load(folder)
    jax.tree.map(np.testing.assert_array_equal, model.params, params)
    made = clip.Model(digits_clip.ARCHITECTURE, params)
    pixels = clip.normalize(concepts[3].images[:4])
    np.testing.assert_array_equal(model.encode_text(TEXTS), made.encode_text(TEXTS))
    np.testing.assert_array_equal(model.encode_image(pixels), made.encode_image(pixels))


def test_a_folder_is_kept_and_another_model_does_not_replace_it(folder):
    weights = folder / "model.safetensors"
    written = weights.stat().st_mtime_ns
    digits_clip.build(folder, SETTINGS)
    assert weights.stat().st_mtime_ns == written
    with pytest.raises(InputError, match="another model"):
        digits_clip.build(folder, SETTINGS._replace(seed=4))
    with pytest.raises(InputError, match="steps"):
        digits_clip.build(folder, SETTINGS._replace(steps=0))


def test_pairs_show_what_they_say(concepts):
    pool, used = digits_clip.make_pool(concepts, SETTINGS)
    images, ids, concept = map(np.asarray, digits_clip.draw(jax.random.key(0), pool, 200))
    captions = [clip.tokenize(c.captions)[:, : ids.shape[1]] for c in concepts]
    for image, row, c in zip(images, used[ids], concept):
        assert (concepts[c].images == image).all(axis=(1, 2, 3)).any()
        assert (captions[c] == row).all(axis=1).any()
    digits = np.mean([concepts[c].kind == "digits" for c in concept])
    assert abs(digits - SETTINGS.digits) < 0.1


def test_where_concepts_differ_the_loss_is_clips(trained):
    params, _ = trained
    pixels = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    model = clip.Model(digits_clip.ARCHITECTURE, params)
    images, texts = (
        np.asarray(rows, np.float64)
        for rows in (model.encode_image(pixels), model.encode_text(TEXTS))
    )
    images, texts = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts))
    logits = model.logit_scale * images @ texts.T
    of_image, of_text = (np.log(np.exp(logits).sum(axis)) for axis in (1, 0))
    expected = np.mean((of_image + of_text) / 2 - np.diag(logits))
    loss = jax.jit(digits_clip.loss_of)(params, pixels, TEXTS, np.arange(4))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_nothing_held_out_is_learnt_from(monkeypatch):
    photos, original = [], sklearn.datasets.load_sample_image

    def record(name):
        photos.append(name)
        return original(name)

    monkeypatch.setattr(sklearn.datasets, "load_sample_image", record)
    monkeypatch.delattr(sklearn.datasets, "load_sample_images")
    found = caption_data.concepts(seed=0, per_concept=2)
    assert photos == ["china.jpg"]
    words = set(re.findall(r"\w+", " ".join(text for c in found for text in c.captions)))
    hidden = "six seven eight nine 6 7 8 9 flower petal dahlia noise noisy blob blobs ring rings"
    assert not words & set(hidden.split())
    assert not set(caption_data.TEXTURES) & set(caption_data.HELD_OUT_TEXTURES.values())

    seen = [image.tobytes() for c in found if c.kind == "digits" for image in c.images]
    for source, shared in ((caption_data.ID_DIGITS, True), ("digits?classes=6-9", False),
                           ("digits:test?classes=0-5", False)):  # fmt: skip
        pictures = {caption_data.enlarged(i).tobytes() for i in sources.load(source, 8).images}
        assert (pictures == set(seen)) if shared else not pictures & set(seen)


def test_held_out_textures_are_always_the_same(folder):
    saved = sources.load(f"npz:{folder / digits_clip.TEXTURES}", caption_data.SIZE).images
    np.testing.assert_array_equal(saved, caption_data.held_out_textures())
