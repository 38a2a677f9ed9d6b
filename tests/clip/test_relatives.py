"""CLIP's relatives against recorded models of transformers: embeddings, tokens, pixels."""

import dataclasses
import json
import shutil
import sys
from functools import partial

import jax
import jax.export
import numpy as np
import pytest
import safetensors.numpy

from adapt_jax import clip
from adapt_jax.clip.architecture import as_json, from_json
from adapt_jax.clip.model import shapes
from adapt_jax.clip.weights.tokenizer_files import check_model
from adapt_jax.core.errors import InputError
from tests.clip import relatives
from tests.conftest import GOLDEN

LIBRARIES = {  # of the recorded tokenizers; GroupViT has CLIP's, and is recorded without
    "siglip_tiny": "sentencepiece",
    "siglip2_tiny": "tokenizers",
    "altclip_tiny": "tokenizers",
    "align_tiny": "tokenizers",
}
NAMES = (*LIBRARIES, "groupvit_tiny")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(model, what it was fed and gave, its folder) by name."""
    found, root = {}, tmp_path_factory.mktemp("relatives")
    for name in NAMES:
        io = relatives.unpack(name, root / name)
        found[name] = (clip.load(root / name), io, root / name)
    return found


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", NAMES)
def test_embeddings_are_the_recorded_ones(name, recorded):
    model, io, _ = recorded[name]
    images = np.asarray(model.encode_image(io["pixel_values"]))
    np.testing.assert_allclose(images, io["image_embeds_raw"], atol=1e-5)
    texts = clip.encode_texts(model, io["input_ids"], batch_size=4)
    np.testing.assert_allclose(texts, io["text_embeds_raw"], atol=1e-5)
    logits = model.logit_scale * unit(images) @ unit(texts).T + model.logit_bias
    np.testing.assert_allclose(logits, io["logits_per_image"], atol=1e-5)
    assert images.dtype == texts.dtype == np.float32


@pytest.mark.parametrize("name", LIBRARIES)
def test_texts_become_the_recorded_tokens(name, recorded):
    model, io, _ = recorded[name]
    ids = model.tokenize(io["texts"].tolist())
    np.testing.assert_array_equal(ids, io["input_ids"])
    assert ids.dtype == np.int32
    with pytest.raises(InputError, match="text 1 .* tokens, more than the"):
        model.tokenize(["a", "a nice dog " * 20])
    with pytest.raises(InputError, match="text 0 is 3"):
        model.tokenize([3])


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_the_recorded_ones(name, recorded):
    model, io, _ = recorded[name]
    chosen = model.architecture
    ours = clip.preprocess(
        io["image_uint8"],
        model.image_size,
        model.mean,
        model.std,
        chosen.preprocessing,
        chosen.resize or None,
    )
    np.testing.assert_allclose(ours, io["pixel_values"][0], atol=1e-6)


def test_positions_of_another_size(recorded):
    model, io, _ = recorded["siglip_tiny"]
    assert model.image_size % model.architecture.vision.patch_size  # the border is left out
    big = model.encode_image(io["big_pixel_values"])
    np.testing.assert_allclose(big, io["big_image_embeds_raw"], atol=1e-5)
    with pytest.raises(InputError, match="smaller than SigLIP's patches"):
        model.encode_image(io["pixel_values"][:, :7])


def test_padding_counts_for_siglip(recorded):
    model, io, _ = recorded["siglip_tiny"]
    cut = model.encode_text(io["input_ids"][:, :-1])
    assert np.abs(cut - io["text_embeds_raw"]).max() > 1e-2
    assert model.logit_bias == pytest.approx(-3.5)
    with pytest.raises(InputError, match="context of 32"):
        model.encode_text(np.zeros((1, 33), int))


def test_padding_does_not_count_for_altclip(recorded, tmp_path):
    model, io, folder = recorded["altclip_tiny"]
    ids = io["input_ids"]
    assert (ids[:, 30:] == 1).all()
    np.testing.assert_allclose(model.encode_text(ids[:, :30]), io["text_embeds_raw"], atol=1e-5)
    with pytest.raises(InputError, match="context of 40"):
        model.encode_text(np.ones((1, 41), int))
    shutil.copytree(folder, tmp_path / "model")
    state = safetensors.numpy.load_file(folder / "model.safetensors")
    hub = {k.replace("vision_model.encoder.layer.", "vision_model.encoder.layers."): v
           for k, v in state.items()}  # fmt: skip
    assert hub.keys() != state.keys()
    buffers = {f"text_model.roberta.embeddings.{k}": np.zeros((1, 42), np.int64)
               for k in ("position_ids", "token_type_ids")}  # fmt: skip
    safetensors.numpy.save_file(hub | buffers, tmp_path / "model" / "model.safetensors")
    assert clip.load(tmp_path / "model").sha256() == model.sha256()


def test_altclip_reads_the_sentencepiece_model_of_xlm_roberta(recorded, tmp_path):
    pytest.importorskip("sentencepiece")
    _, _, folder = recorded["altclip_tiny"]
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model/tokenizer.json").unlink()
    alone = clip.load(tmp_path / "model")
    with pytest.raises(InputError, match=r"no tokenizer.*sentencepiece\.bpe\.model \(AltCLIP\)"):
        alone.tokenize(["a"])
    with np.load(GOLDEN / "xlm_roberta_tokenizer.npz") as file:
        content, texts, ids = file["model"].tobytes(), file["texts"].tolist(), file["input_ids"]
    (tmp_path / "model/sentencepiece.bpe.model").write_bytes(content)
    model = clip.load(tmp_path / "model")
    np.testing.assert_array_equal(model.tokenize(texts)[:, : ids.shape[1]], ids)
    assert model.sha256() != alone.sha256()
    with pytest.raises(InputError, match="tokens, more than the 40 of the model"):
        model.tokenize(["nice " * 40])


def test_the_files_of_an_align(recorded, tmp_path):
    model, io, folder = recorded["align_tiny"]
    assert model.logit_scale == pytest.approx(1 / 0.07)
    assert (model.image_size, model.architecture.resize) == (33, 40)
    assert model.mean == pytest.approx((0.5,) * 3)
    other = io["pixel_values"][:, :20, :27]  # the tower takes images of any size
    assert np.isfinite(model.encode_image(other)).all()
    shutil.copytree(folder, tmp_path / "model")
    file = tmp_path / "model" / "preprocessor_config.json"
    kept = json.loads(file.read_text())

    def prepared(**changes):
        file.write_text(json.dumps(kept | changes))
        chosen = clip.load(tmp_path / "model").architecture
        return chosen.vision.image_size, chosen.resize, chosen.mean[0], chosen.std[0]

    usual = {"rescale_factor": 1 / 255, "rescale_offset": False}
    assert prepared(**usual, do_center_crop=False) == pytest.approx((40, 0, 0, 1))
    twice = {"do_normalize": True, "image_mean": [0.4] * 3, "image_std": [0.5] * 3}
    assert prepared(**usual, **twice) == pytest.approx((33, 40, 0.4, 0.5))
    assert prepared(**usual, **twice, include_top=True) == pytest.approx((33, 40, 0.4, 0.25))
    assert prepared(do_rescale=False) == pytest.approx((33, 40, 0, 1 / 255))
    for wrong in (
        {"crop_size": {"height": 41, "width": 41}},
        {"size": {"shortest_edge": 40}},
        {"resample": 0},
        {"rescale_factor": -1},
        {"do_pad": True},
    ):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} = "):
            prepared(**wrong)
    file.unlink()  # as ALIGN was published
    chosen = clip.load(tmp_path / "model").architecture
    assert (chosen.vision.image_size, chosen.resize, chosen.preprocessing) == (289, 346, "align")


def test_a_groupvit_takes_the_tokenizer_of_clip(recorded, tmp_path):
    model, io, folder = recorded["groupvit_tiny"]
    assert model.tokenizer is None
    assert model.tokenize(["a dog"])[0, 0] == 49406
    with pytest.raises(InputError, match="vocabulary of 100 tokens"):
        check_model(model.architecture.text)
    shutil.copytree(folder, tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    kept = json.loads(file.read_text())
    vision = kept["vision_config"] | {"num_group_tokens": [6, 3]}
    file.write_text(json.dumps(kept | {"vision_config": vision}))
    with pytest.raises(InputError, match="one for each stage"):
        clip.load(tmp_path / "model")
    (tmp_path / "model" / "vocab.json").write_text('{"a": 0}')
    file.write_text(json.dumps(kept))
    with pytest.raises(InputError, match="another vocabulary of 1 tokens than CLIP's"):
        clip.load(tmp_path / "model")


def test_the_sha256_covers_the_tokenizer(recorded, tmp_path):
    model, _, folder = recorded["siglip2_tiny"]
    shutil.copytree(folder, tmp_path / "model")
    file = tmp_path / "model/tokenizer_config.json"
    assert clip.load(tmp_path / "model").sha256() == model.sha256()
    changed = json.loads(file.read_text()) | {"padding_side": "left"}
    file.write_text(json.dumps(changed))
    other = clip.load(tmp_path / "model")
    assert other.sha256() != model.sha256()
    ids = other.tokenize(["a", "cat"])
    assert ids[0, 0] == 0
    assert ids[0, -1] == 1


def test_which_tokenizer_it_is(recorded, tmp_path):
    """By the class that tokenizer_config.json names, else by the kind of tokenizer.json."""
    _, _, folder = recorded["siglip2_tiny"]
    shutil.copytree(folder, tmp_path / "model")
    file, config = tmp_path / "model/tokenizer.json", tmp_path / "model/tokenizer_config.json"
    settings = json.loads(config.read_text())
    texts = ["The CAT, a dog.", "the cat a dog"]

    def tokenized(kind, **changes):
        config.write_text(json.dumps(settings | {"tokenizer_class": kind} | changes))
        model = clip.load(tmp_path / "model")
        return model.tokenizer.rule, model.tokenize(texts)

    rule, ids = tokenized("GemmaTokenizerFast")
    assert rule == "lower"
    assert (ids[0] != ids[1]).any()  # punctuation stays
    rule, ids = tokenized("SiglipTokenizer")
    assert rule == "canonical"
    np.testing.assert_array_equal(*ids)
    assert tokenized("PreTrainedTokenizerFast")[0] == "as_is"
    config.unlink()
    assert clip.load(tmp_path / "model").tokenizer.rule == "lower"  # a BPE, as Gemma's
    words = {"</s>": 0, "<unk>": 1, "the": 2, "cat": 3, "a": 4, "dog": 5}
    content = json.loads(file.read_text()) | {
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "added_tokens": [],
    }
    file.write_text(json.dumps(content))
    model = clip.load(tmp_path / "model")
    assert model.tokenizer.rule == "canonical"
    assert model.tokenize(texts)[:, :5].tolist() == [[2, 3, 4, 5, 0]] * 2
    with pytest.raises(InputError, match="do_lower_case"):
        tokenized("SiglipTokenizer", do_lower_case=False)
    with pytest.raises(InputError, match="no token 'x', which pads"):
        tokenized("SiglipTokenizer", pad_token="x")


def test_a_model_without_a_tokenizer_encodes_ids_alone(recorded, tmp_path, monkeypatch):
    model, io, folder = recorded["siglip_tiny"]
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model/spiece.model").write_bytes(b"what")
    with pytest.raises(InputError, match=r"spiece\.model cannot be read by sentencepiece"):
        clip.load(tmp_path / "model").tokenize(["a"])
    (tmp_path / "model/spiece.model").unlink()
    alone = clip.load(tmp_path / "model")
    np.testing.assert_allclose(alone.encode_text(io["input_ids"]), io["text_embeds_raw"], atol=1e-5)
    with pytest.raises(InputError, match=r"no tokenizer beside its weights.*spiece\.model"):
        alone.tokenize(["a"])
    (tmp_path / "model/tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be read as a tokenizer"):
        clip.load(tmp_path / "model").tokenize(["a"])


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_the_library_a_sentence_says_which(name, recorded, tmp_path, monkeypatch):
    folder = shutil.copytree(recorded[name][2], tmp_path / "model")
    library = LIBRARIES[name]
    monkeypatch.setitem(sys.modules, library, None)
    model = clip.load(folder)
    with pytest.raises(InputError, match=rf"pip install {library}, or .*adapt_jax\[tokenizers\]"):
        model.tokenize(["a"])


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_used_and_none_is_missing(name, recorded, tmp_path):
    folder = shutil.copytree(recorded[name][2], tmp_path / "model")
    state = safetensors.numpy.load_file(folder / "model.safetensors")
    first, second, third = sorted(state)[5:20:5]
    changed = dict(state) | {"vision_model.extra": np.zeros(2, np.float32)}
    del changed[first], changed[second]
    changed[third] = np.zeros((3, 3, 3), np.float32)
    safetensors.numpy.save_file(changed, folder / "model.safetensors")
    with pytest.raises(InputError) as error:
        clip.load(folder)
    message = str(error.value)
    assert f"2 missing: {first}, {second}; 1 unused: vision_model.extra;" in message
    assert f"1 of the wrong shape: {third} is (3, 3, 3), not" in message


@pytest.mark.parametrize("name", NAMES)
def test_an_export_keeps_the_architecture(name, recorded):
    chosen = recorded[name][0].architecture
    assert from_json(json.loads(json.dumps(as_json(chosen)))) == chosen
    (batch,) = jax.export.symbolic_shape("batch")
    size = chosen.vision.image_size
    pixels = jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)
    run = jax.jit(partial(clip.image_features, architecture=chosen))
    (rows,) = jax.export.export(run)(shapes(chosen), pixels=pixels).out_avals
    assert rows.shape == (batch, chosen.embed_dim)  # any number of images


def test_configurations_that_cannot_be_used_say_why(recorded, tmp_path):
    folder = shutil.copytree(recorded["siglip_tiny"][2], tmp_path / "model")
    file = folder / "config.json"
    kept = json.loads(file.read_text())

    def refused(match, tower="vision_config", **changes):
        changed = kept | changes if tower is None else kept | {tower: kept[tower] | changes}
        file.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=match):
            clip.load(folder)

    refused("vision_use_head", vision_use_head=False)
    refused("image embeddings are 32 wide, its texts' 48", "text_config", projection_size=48)
    refused("hidden_act 'silu'", hidden_act="silu")
    refused("only squares", image_size=[30, 20])
    refused("smaller than its patch size", patch_size=31)
    refused("does not split into 3", num_attention_heads=3)
    refused("NaFlex", None, model_type="siglip2")
    file.write_text(
        json.dumps(kept | {"vision_config": kept["vision_config"] | {"patch_size": [8, 8]}})
    )
    clip.load(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor"}'
    )
    with pytest.raises(InputError, match="supported: SiglipImageProcessor"):
        clip.load(folder)
    (folder / "preprocessor_config.json").unlink()
    whole = {"image_processor": {"resample": 2, "size": {"height": 30, "width": 30}}}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    assert clip.load(folder).architecture.preprocessing == "huggingface_squash_bilinear"
    with pytest.raises(InputError, match="only a CLIP with a ViT can be saved"):
        clip.save(tmp_path, {}, clip.load(folder).architecture)


@pytest.mark.parametrize("name", ["siglip_tiny", "groupvit_tiny", "align_tiny"])
def test_random_parameters(name, recorded):
    model, io, _ = recorded[name]
    made = clip.init(model.architecture, jax.random.key(0))
    assert jax.tree.map(np.shape, made) == jax.tree.map(np.shape, model.params)
    assert made.get("logit_bias", -10) == -10
    images = dataclasses.replace(model, params=made).encode_image(io["pixel_values"])
    assert np.isfinite(images).all()
