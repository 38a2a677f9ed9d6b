"""Both towers against recorded outputs of transformers, open_clip and OpenAI's ResNet."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adapt_jax import clip
from adapt_jax.clip.towers import positions, resnet, transformer
from adapt_jax.core.errors import InputError
from tests.conftest import GOLDEN

MODELS = ("hf_clip_tiny", "hf_clip_eos_first", "open_clip_vit_tiny", "openai_rn_tiny")


def recorded(name):
    with np.load(GOLDEN / f"{name}_io.npz") as file:
        io = dict(file)
    return {k.removesuffix("_nchw"): nhwc(v) if k.endswith("_nchw") else v for k, v in io.items()}


def nhwc(x):
    return x.transpose(0, 2, 3, 1)


def load(name, **kwargs):
    return clip.load(pathlib.Path(GOLDEN, f"{name}.safetensors"), **kwargs)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", MODELS)
def test_embeddings_are_the_recorded_ones(name):
    model, io = load(name), recorded(name)
    images = np.asarray(model.encode_image(io["pixel_values"]))
    np.testing.assert_allclose(images, io["image_embeds_raw"], atol=1e-5)
    ids = {k: v for k, v in io.items() if k.startswith("input_ids")}
    for given in ids.values():  # padded with zeros and with end tokens
        texts = np.asarray(model.encode_text(given))
        np.testing.assert_allclose(texts, io["text_embeds_raw"], atol=1e-5)
    logits = model.logit_scale * unit(images) @ unit(texts).T
    np.testing.assert_allclose(logits, io["logits_per_image"], atol=1e-4)
    assert images.dtype == texts.dtype == np.float32


def test_stages_of_the_resnet():
    model, io = load("openai_rn_tiny"), recorded("openai_rn_tiny")
    run = jax.jit(resnet.stages, static_argnums=1)
    stages = run(model.params["visual"], model.architecture.vision, io["pixel_values"])
    np.testing.assert_allclose(stages[0][:1], io["layer1"], atol=1e-5)
    np.testing.assert_allclose(stages[3], io["layer4"], atol=1e-5)


def test_positions_of_other_sizes():
    table = load("open_clip_vit_tiny").params["visual"]["positions"]
    io = recorded("open_clip_vit_tiny")
    for side in (3, 7):
        resized = positions.resize(table, (side, side), "open_clip")
        np.testing.assert_allclose(resized, io[f"pos_embed_resized_{side}x{side}"], atol=5e-6)
    model, io = load("hf_clip_tiny"), recorded("hf_clip_tiny")
    big = model.encode_image(io["big_pixel_values"])
    np.testing.assert_allclose(big, io["big_image_embeds_raw"], atol=1e-5)


@pytest.mark.parametrize("kernel", ["open_clip", "huggingface"])
def test_interpolated_positions_keep_constants_and_the_axes_apart(kernel):
    table = np.zeros((1 + 9, 3), np.float32)
    table[:, 0] = 5.0
    table[1:, 1] = np.repeat([1, 2, 3], 3)  # grows along rows
    table[1:, 2] = np.tile([1, 2, 3], 3)  # along columns
    new = np.asarray(positions.resize(jnp.asarray(table), (6, 4), kernel))[1:].reshape(6, 4, 3)
    np.testing.assert_allclose(new[..., 0], 5.0, rtol=1e-6)
    np.testing.assert_allclose(new[..., 1], new[:, :1, 1].repeat(4, 1), rtol=1e-5)
    np.testing.assert_allclose(new[..., 2], new[:1, :, 2].repeat(6, 0), rtol=1e-5)
    assert (np.diff(new[:, 0, 1]) > 0).all()
    assert (np.diff(new[0, :, 2]) > 0).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_is_close_and_returns_float32(dtype):
    model, io = load("hf_clip_tiny", dtype=dtype), recorded("hf_clip_tiny")
    if dtype == "bfloat16":  # the blocks are the same: one tower for each
        got, wanted = model.encode_image(io["pixel_values"]), io["image_embeds_raw"]
    else:
        got, wanted = model.encode_text(io["input_ids_pad_zero"]), io["text_embeds_raw"]
    assert got.dtype == np.float32
    assert np.sum(unit(got) * unit(wanted), axis=-1).min() > 0.9995
    assert np.abs(got - wanted).max() > 1e-5  # it was not float32


def test_uint8_pixels_are_normalised():
    model = load("hf_clip_tiny")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    wanted = model.encode_image(clip.normalize(pixels, model.mean, model.std))
    np.testing.assert_allclose(model.encode_image(pixels), wanted, atol=1e-5)


def test_nothing_after_the_end_token_matters():
    model, io = load("hf_clip_eos_first"), recorded("hf_clip_eos_first")
    ids = io["input_ids"]
    end = (ids == model.architecture.text.eos_token_id).argmax(1)
    longest = end.max() + 1
    assert longest < ids.shape[1]
    scrambled = np.where(np.arange(ids.shape[1]) > end[:, None], 7, ids)
    for given in (ids[:, :longest], scrambled):
        np.testing.assert_allclose(model.encode_text(given), io["text_embeds_raw"], atol=1e-5)


def test_wrong_inputs_are_refused():
    model = load("hf_clip_tiny")
    pixels = np.zeros((1, 32, 32, 3), np.float32)
    for given, match in (
        (pixels[0], r"\(B, H, W, 3\)"),
        (pixels.transpose(0, 3, 1, 2), r"\(B, H, W, 3\)"),
        (pixels.astype(int), "uint8"),
        (pixels[:, :30], "patches"),
    ):
        with pytest.raises(InputError, match=match):
            model.encode_image(given)
    for given, match in (
        (np.zeros(5, int), r"\(B, L\)"),
        (np.zeros((1, 5)), "integers"),
        (np.full((1, 5), 600), "vocabulary"),
        (np.full((1, 5), -1), "vocabulary"),
        (np.zeros((1, 17), int), "context of 16"),
    ):
        with pytest.raises(InputError, match=match):
            model.encode_text(given)
    assert np.isnan(model.encode_text(jnp.full((1, 5), 600))).all()  # seen on the device only
    with pytest.raises(InputError, match="64 x 64 images only"):
        load("openai_rn_tiny").encode_image(pixels)


def test_parameters_are_arguments_not_constants():
    model = load("hf_clip_tiny")
    io = recorded("hf_clip_tiny")
    doubled = jax.tree.map(lambda p: p, model.params)
    doubled["visual"] = doubled["visual"] | {"projection": 2 * doubled["visual"]["projection"]}
    other = dataclasses.replace(model, params=doubled)
    np.testing.assert_allclose(
        other.encode_image(io["pixel_values"]), 2 * io["image_embeds_raw"], atol=2e-5
    )
    assert other.sha256() != model.sha256() == load("hf_clip_tiny").sha256()


def tiny_architecture():
    vision = clip.VisionTransformer(
        image_size=8, patch_size=4, width=16, layers=2, heads=2, mlp_width=24, activation="gelu"
    )
    words = clip.TextTransformer(
        context_length=6, vocab_size=20, width=12, layers=1, heads=3, mlp_width=20
    )
    return clip.Architecture(embed_dim=8, vision=vision, text=words)


def test_training_from_scratch_matches_images_to_texts():
    architecture = tiny_architecture()
    params = clip.init(architecture, jax.random.key(0))
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(6, 8, 8, 3)).astype(np.float32)
    ids = np.concatenate([rng.integers(1, 18, (6, 5)), np.full((6, 1), 19)], axis=1)
    optimizer = optax.flatten(optax.adam(3e-3))  # flat: compiles faster

    def loss(params):
        features = (
            clip.image_features(params, architecture, pixels),
            clip.text_features(params, architecture, jnp.asarray(ids)),
        )
        images, texts = (f / jnp.linalg.norm(f, axis=-1, keepdims=True) for f in features)
        logits = jnp.exp(params["logit_scale"]) * images @ texts.T
        return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.arange(6)).mean()

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value, gradient

    state, values = optimizer.init(params), []
    for _ in range(30):
        params, state, value, gradient = step(params, state)
        values.append(float(value))
        if len(values) == 1:
            found = jax.tree.leaves_with_path(gradient)
            dead = [k for k, g in found if not np.any(np.asarray(g))]
            assert not dead
    assert values[-1] < 0.2 * values[0]


def test_statistics_of_a_resnet_are_not_trained():
    architecture = dataclasses.replace(
        tiny_architecture(),
        vision=clip.ModifiedResNet(image_size=32, width=2, blocks=(1,) * 4, heads=2),
    )
    shapes = jax.eval_shape(lambda k: clip.init(architecture, k), jax.random.key(0))
    pixels = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    out = jax.eval_shape(lambda p, x: clip.image_features(p, architecture, x), shapes, pixels)
    assert out.shape == (2, 8)
    params = {"bn": {k: np.ones(3, np.float32) for k in ("scale", "bias", "mean", "var")}}
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    total = lambda p: jnp.sum(transformer.batch_norm(x, p["bn"]) ** 2)  # noqa: E731
    gradient = jax.jit(jax.grad(total))(params)["bn"]
    assert {k for k, g in gradient.items() if np.any(np.asarray(g))} == {"scale", "bias"}
