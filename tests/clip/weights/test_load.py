"""Every layout of one model gives the same parameters; whatever does not fit is an error."""

import json
import math
import sys
import types

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict

from adapt_jax import clip
from adapt_jax.clip.model import shapes
from adapt_jax.clip.weights import config_files, names, released
from adapt_jax.core.errors import InputError
from tests.clip.weights.test_config_files import OPEN_CLIP_TINY
from tests.conftest import GOLDEN

TINY = GOLDEN / "hf_clip_tiny.safetensors"


@pytest.fixture(scope="module")
def tiny():
    return clip.load(TINY)


def write(folder, **files):
    """Writes config.json=..., model.safetensors=... as `config={...}, model={...}`."""
    folder.mkdir(exist_ok=True)
    for stem, content in files.items():
        if stem.endswith("config"):
            (folder / f"{stem}.json").write_text(json.dumps(content))
        else:
            safetensors.numpy.save_file(content, folder / f"{stem}.safetensors")
    return folder


def huggingface(folder, model):
    clip.save(folder, model.params, model.architecture)


def sharded(folder, model):
    clip.save(folder, model.params, model.architecture)
    state = names.write(model.params, names.HUGGINGFACE)
    (folder / "model.safetensors").unlink()
    parts = {"model-00001-of-00002": {}, "model-00002-of-00002": {}}
    for i, (name, value) in enumerate(state.items()):
        list(parts.values())[i % 2][name] = value
    write(folder, **parts)
    index = {n: f"{part}.safetensors" for part, tensors in parts.items() for n in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def flax_msgpack(folder, model):
    clip.save(folder, model.params, model.architecture)
    (folder / "model.safetensors").unlink()
    tree = unflatten_dict(names.write(model.params, names.FLAX), sep=".")
    (folder / "flax_model.msgpack").write_bytes(serialization.msgpack_serialize(tree))


def open_clip(folder, model):
    state = names.write(model.params, names.OPENAI)
    write(folder, open_clip_config={"model_cfg": OPEN_CLIP_TINY}, open_clip_model=state)


def open_clip_beside_timm(folder, model):
    """CustomTextCLIP, in a repository that also has timm's image tower and configuration."""
    state = names.write(model.params, names.Layout("openai", "text."))
    state["text.attn_mask"] = np.zeros((16, 16), np.float32)
    write(
        folder,
        open_clip_config={"model_cfg": OPEN_CLIP_TINY | {"custom_text": True}},
        open_clip_model=state,
        config={"architecture": "vit_tiny"},
        model={"patch_embed.proj.weight": np.zeros(3, np.float32)},
    )


def one_file(folder, model):
    state = names.write(model.params, names.OPENAI)
    scalars = {k: np.asarray(3) for k in ("input_resolution", "context_length", "vocab_size")}
    write(folder, ViT=state | scalars, ViT_config=OPEN_CLIP_TINY)


@pytest.mark.parametrize(
    "layout", [huggingface, sharded, flax_msgpack, open_clip, open_clip_beside_timm, one_file]
)
def test_every_layout_gives_the_same_model(layout, tiny, tmp_path):
    layout(tmp_path / "model", tiny)
    loaded = clip.load(tmp_path / "model")
    jax.tree.map(np.testing.assert_array_equal, loaded.params, tiny.params)
    assert loaded.architecture.vision == tiny.architecture.vision
    assert loaded.architecture.text == tiny.architecture.text
    assert loaded.source == str(tmp_path / "model")
    if layout in (huggingface, sharded, flax_msgpack):
        assert loaded.sha256() == tiny.sha256()


def test_saved_files_have_the_names_shapes_and_values_of_the_original(tiny, tmp_path):
    clip.save(tmp_path, tiny.params, tiny.architecture)
    ours = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    theirs = safetensors.numpy.load_file(TINY)
    assert ours.keys() == theirs.keys()
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    kept = json.loads((GOLDEN / "hf_clip_tiny_config.json").read_text())
    written = json.loads((tmp_path / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        assert written[part].items() <= (kept[part] | {"hidden_act": "quick_gelu"}).items()
    with pytest.raises(InputError, match="ResNet"):
        clip.save(tmp_path, {}, clip.RELEASED["RN50"])


def test_half_precision_files_and_a_vector_for_the_logit_scale(tiny, tmp_path):
    state = names.write(tiny.params, names.HUGGINGFACE)
    state = {
        k: v.astype(jax.numpy.bfloat16 if "text" in k else np.float16) for k, v in state.items()
    }
    state["logit_scale"] = state["logit_scale"].reshape(1)
    write(tmp_path, model=state, config=config_files.write_huggingface(tiny.architecture))
    loaded = clip.load(tmp_path)
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded.params)} == {np.dtype(np.float32)}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=0.02), loaded.params, tiny.params
    )


def test_names_of_the_flax_classes(tiny):
    """As FlaxCLIPModel calls them; nothing recorded has this layout."""
    state = names.write(tiny.params, names.FLAX)
    assert state["vision_model.encoder.layers.1.self_attn.v_proj.kernel"].shape == (48, 48)
    expected = {
        "vision_model.embeddings.patch_embedding.kernel": (8, 8, 3, 48),
        "vision_model.embeddings.position_embedding.embedding": (17, 48),
        "vision_model.embeddings.class_embedding": (48,),
        "vision_model.pre_layrnorm.scale": (48,),
        "text_model.embeddings.token_embedding.embedding": (600, 32),
        "text_model.encoder.layers.0.mlp.fc1.kernel": (32, 128),
        "text_model.encoder.layers.0.layer_norm2.bias": (32,),
        "visual_projection.kernel": (48, 24),
        "logit_scale": (),
    }
    assert {name: state[name].shape for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("ViT-B/32", 151_277_313),
        ("ViT-B/16", 149_620_737),
        ("ViT-L/14", 427_616_513),
        ("ViT-L/14@336px", 427_944_193),
        ("RN50", 102_007_137),
        ("RN101", 119_688_033),
        ("RN50x4", 178_300_601),
        ("RN50x16", 290_979_217),
        ("RN50x64", 623_258_305),
    ],
)
def test_released_models_are_recognised_by_their_shapes(name, count):
    template = shapes(clip.RELEASED[name])
    leaves = flatten_dict(template)
    sizes = [math.prod(x.shape) for k, x in leaves.items() if k[-1] not in ("mean", "var")]
    assert sum(sizes) == count  # as OpenAI counts them
    tensors = names.tensors(template, names.OPENAI)
    found = released.recognised(tensors)
    assert found.architecture == clip.RELEASED[name]
    assert f"guessed to be {name} (" in found.note
    del tensors["text_projection"]
    with pytest.raises(InputError, match="no released model.*config.json"):
        released.recognised(tensors)


@pytest.mark.parametrize(
    ("name", "heads"), [("ViT-H-14", 16), ("ViT-g-14", 16), ("ViT-bigG-14", 16)]
)
def test_models_of_open_clip_have_wider_heads_and_another_activation(name, heads):
    tensors = names.tensors(shapes(clip.RELEASED[name]), names.Layout("openai", "text."))
    found = released.recognised(tensors | {"logit_scale": (1,)}).architecture
    assert found == clip.RELEASED[name]
    assert (found.vision.heads, found.text.activation) == (16, "gelu")


def test_one_shape_of_two_activations_says_how_to_choose():
    tensors = names.tensors(shapes(clip.RELEASED["ViT-B/32"]), names.OPENAI)
    note = released.recognised(tensors).note
    assert "ViT-B/32 (12 heads, quick_gelu)" in note
    assert "ViT-B-32 (12 heads, gelu) has the same shapes: say which with clip.architecture" in note
    archive = dict.fromkeys(("input_resolution", "context_length", "vocab_size"), ())
    found = released.recognised(tensors | archive)
    assert found.architecture == clip.RELEASED["ViT-B/32"]
    assert "an archive of OpenAI's (12 heads, quick_gelu)" in found.note
    hf = names.tensors(shapes(clip.RELEASED["ViT-B/32"]), names.HUGGINGFACE)
    assert released.recognised(hf).architecture.preprocessing == "huggingface"


def test_weights_without_a_configuration(tiny, tmp_path, monkeypatch):
    """Heads of 16 instead of 64: refused; recognised if released; or the caller says."""
    alone = write(tmp_path / "alone", some=names.write(tiny.params, names.OPENAI))
    with pytest.raises(InputError, match="no released model has their shapes.*clip.architecture"):
        clip.load(alone)
    right = config_files.read(OPEN_CLIP_TINY)
    monkeypatch.setitem(clip.RELEASED, "tiny", right)
    assert clip.load(alone).architecture == right
    assert "guessed to be tiny (3 heads, quick_gelu)" in clip.load(alone).guess
    (tmp_path / "mine.json").write_text(json.dumps(OPEN_CLIP_TINY))
    for said in (
        "tiny",
        tmp_path / "mine.json",
        str(tmp_path / "mine.json"),
        OPEN_CLIP_TINY,
        right,
    ):
        loaded = clip.load(alone, architecture=said)
        assert (loaded.architecture, loaded.guess) == (right, "")
    with pytest.raises(InputError, match="no released model and no file called ViT-Z.*ViT-B/32"):
        clip.load(alone, architecture="ViT-Z")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "clip_model."])
def test_prefixes_of_wrappers_are_dropped(tiny, tmp_path, prefix):
    state = names.write(tiny.params, names.HUGGINGFACE) | {"n_averaged": np.array(2)}
    state = {prefix + name if "." in name else name: value for name, value in state.items()}
    state[prefix + "logit_scale"] = state.pop("logit_scale")
    write(tmp_path, model=state, config=config_files.write_huggingface(tiny.architecture))
    jax.tree.map(np.testing.assert_array_equal, clip.load(tmp_path).params, tiny.params)


def test_everything_that_does_not_fit_is_named(tiny, tmp_path):
    state = names.write(tiny.params, names.OPENAI)
    del state["visual.transformer.resblocks.1.attn.in_proj_weight"]
    state["visual.extra"] = np.zeros(2, np.float32)
    state["text_projection"] = state["text_projection"].T.copy()
    write(tmp_path, open_clip_config=OPEN_CLIP_TINY, open_clip_model=state)
    with pytest.raises(InputError) as error:
        clip.load(tmp_path)
    message = str(error.value)
    assert "1 missing: visual.transformer.resblocks.1.attn.in_proj_weight;" in message
    assert "1 unused: visual.extra;" in message
    assert "1 of the wrong shape: text_projection is (24, 32), not (32, 24)" in message
    assert str(tmp_path) in message


def test_long_lists_are_cut_and_counted(tiny):
    state = names.write(tiny.params, names.HUGGINGFACE)
    fewer = {k: v for k, v in state.items() if ".layers.1." not in k}
    with pytest.raises(InputError, match=r"32 missing: .* and 24 more"):
        names.read(fewer, shapes(tiny.architecture))


def test_damaged_values_are_refused(tiny):
    state = names.write(tiny.params, names.HUGGINGFACE)
    state["visual_projection.weight"] = np.full((24, 48), np.nan, np.float32)
    with pytest.raises(InputError, match="visual_projection.weight holds NaN"):
        names.read(state, shapes(tiny.architecture))


def test_what_cannot_be_loaded_says_why(tiny, tmp_path):
    state = names.write(tiny.params, names.OPENAI)
    hf_config = config_files.write_huggingface(tiny.architecture)

    def refused(path, match, **kwargs):
        with pytest.raises(InputError, match=match):
            clip.load(path, **kwargs)

    refused(tmp_path / "nowhere", "no such file")
    refused(tmp_path, "no CLIP weights")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    write(tmp_path, config=hf_config)
    refused(tmp_path, "pickle.*weights_only=True.*'model.safetensors'")
    (tmp_path / "RN50.pt").write_bytes(b"")
    refused(tmp_path / "RN50.pt", "pickle.*jit.load.*'RN50.safetensors'")
    alone = write(tmp_path / "alone", some=state)
    refused(alone, "dtype 'int8'", dtype="int8")
    refused(alone, "revision", revision="main")
    hf_alone = write(tmp_path / "hf_alone", some=names.write(tiny.params, names.HUGGINGFACE))
    refused(hf_alone, "no configuration beside these weights")
    tower = {k: v for k, v in state.items() if k.startswith("visual.")}
    refused(write(tmp_path / "tower", some=tower, some_config=hf_config), "both towers")
    blip = write(tmp_path / "blip", model=state, config={"model_type": "blip"})
    refused(blip, "no config.json")
    refused(blip / "model.safetensors", "type 'blip'")
    siglip = write(tmp_path / "siglip", model=state, config={"model_type": "siglip"})
    refused(siglip, "in the layout of openai, which has no place")
    (tmp_path / "damaged.safetensors").write_bytes(b"what")
    refused(tmp_path / "damaged.safetensors", "cannot be read as .safetensors")
    (tmp_path / "pointer.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    refused(tmp_path / "pointer.safetensors", "is a Git LFS pointer")
    (tmp_path / "page.msgpack").write_bytes(b"<html><body>Sign in</body></html>")
    refused(tmp_path / "page.msgpack", "is a web page")
    (tmp_path / "damaged.msgpack").write_bytes(b"\xc1")
    refused(tmp_path / "damaged.msgpack", "cannot be read as .msgpack")


def test_fetching_from_the_hub(tiny, tmp_path, monkeypatch):
    snapshot = tmp_path / "snapshots" / "c0ffee"
    snapshot.parent.mkdir()
    clip.save(snapshot, tiny.params, tiny.architecture)
    asked = []

    def snapshot_download(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        if name != "org/tiny":
            raise OSError("Repository Not Found\nmore")
        return str(snapshot)

    fake = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    monkeypatch.chdir(tmp_path)
    model = clip.load("org/tiny", revision="v1")
    assert model.source == "org/tiny@c0ffee"
    assert [a[:2] for a in asked] == [("org/tiny", "v1"), ("org/tiny", "c0ffee")]
    assert asked[0][2][:2] == ["*config.json", "tokenizer.json"]
    assert asked[1][2] == ["model.safetensors"]
    with pytest.raises(InputError, match=r"org/none cannot be fetched .*\(Repository Not Found\)"):
        clip.load("org/none")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(InputError, match="never loaded: download and convert"):
        clip.load("org/tiny")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        clip.load("org/tiny")
