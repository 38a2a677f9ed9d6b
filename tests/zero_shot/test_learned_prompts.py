"""Learned contexts: files of CoOp, LAPT and NegPrompt, and what their programs make of them."""

import json
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from adapt_jax import clip
from adapt_jax.core.errors import InputError
from adapt_jax.inference import clip_encoder
from adapt_jax.runtime import sharding
from adapt_jax.zero_shot import learned_prompts, text_features
from tests.conftest import GOLDEN
from tests.zero_shot import tiny_clip
from tests.zero_shot.test_text_features import Counting, config, read_words

CASES = (
    *(f"coop_{place}_{kind}" for place in ("end", "middle", "front") for kind in ("all", "each")),
    *("lapt_dis_aware", "lapt_unified", "lapt_class_specific"),
    *("negprompt_all", "negprompt_each"),
)
NAMES = ("zero", "one_two", "three")


@pytest.fixture(scope="module")
def recorded():
    with np.load(GOLDEN / "learned_prompts.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def model(recorded, tmp_path_factory):
    """The random CLIP of the recording: tensors in the order of their names, 0.15 times normal."""
    rng = np.random.RandomState(0)
    shapes = json.loads(str(recorded["shapes"]))
    draw = {name: 0.15 * rng.standard_normal(shapes[name]) for name in sorted(shapes)}
    state = {name: np.asarray(value, np.float32) for name, value in draw.items()}
    state |= {
        name: np.array(value)
        for name, value in (("input_resolution", 32), ("context_length", 16), ("vocab_size", 49408))
    }
    file = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    safetensors.numpy.save_file(state, file)
    return clip.load(file)


@pytest.mark.parametrize("case", CASES)
def test_features_are_those_of_the_authors_programs(model, recorded, tmp_path, case):
    own = {k.removeprefix(f"{case}/"): v for k, v in recorded.items() if k.startswith(f"{case}/")}
    features, names = own.pop("features"), recorded["names"].tolist()
    program, place = case.split("_")[:2]
    file = str(tmp_path / "prompts.safetensors")
    prefix = {"coop": "", "lapt": "model.prompt_learner.", "negprompt": "prompt_learner."}[program]
    state = {f"{prefix}{name}": value for name, value in own.items()}
    state[f"{prefix}token_prefix"] = np.zeros((4, 1, 64), np.float32)
    if prefix:
        state["image_encoder.proj"] = np.zeros(2)
    safetensors.numpy.save_file(state, file)

    learned = learned_prompts.read(file, place if program == "coop" else "end")
    words = recorded["words"].tolist()
    learned.check(model, len(names), len(words))
    rows = [clip.encode_texts(*learned.of_labels(model, names), batch_size=8)]
    negatives = learned.of_words(model, names, words)
    if negatives is not None:
        rows.append(clip.encode_texts(*negatives[:2], batch_size=8))
    if program == "negprompt":  # there every class is followed by its negatives
        features = features.reshape(len(names), 3, -1)
        features = np.concatenate([features[:, 0], features[:, 1:].reshape(-1, 12)])
        assert negatives[2][:3] == (
            "tench (negative 1)", "tench (negative 2)", "great_white shark (negative 1)",
        )  # fmt: skip
    np.testing.assert_allclose(np.concatenate(rows), features, atol=1e-6)


def test_a_checkpoint_of_coop_is_read_with_its_schedule_and_optimiser(tmp_path):
    shutil.copy(GOLDEN / "coop_checkpoint.pth", tmp_path / "model.pth.tar-3")
    learned = learned_prompts.read(str(tmp_path / "model.pth.tar-3"), "end")
    np.testing.assert_array_equal(learned.labels, np.arange(16).reshape(2, 8))
    assert learned.words is None
    assert learned.full_stop


def contexts(*shape):
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)


def saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture(scope="module")
def encode(tmp_path_factory):
    source = clip_encoder.Source(tiny_clip.save(tmp_path_factory.mktemp("clip")))
    return clip_encoder.load(source, sharding.make_mesh(jax.devices()[:1]), lambda text: None)


def build(encode, file, folder, **changes):
    words = read_words(config(**changes), NAMES)
    if file:
        words = words._replace(learned=learned_prompts.read(file, "end"))
    return text_features.build(words, encode, 64, folder)


def test_words_are_chosen_with_prompts_and_embedded_with_contexts(encode, tmp_path):
    plain = build(encode, "", tmp_path)
    labels, words = contexts(2, 16), contexts(2, 16) + 1
    coop = saved(tmp_path / "coop.npz", ctx=labels)
    lapt = saved(tmp_path / "lapt.npz", ctx=labels, ood_ctx=words)
    own = learned_prompts.read(lapt, "end")
    expected = encode._replace(model=own.of_labels(encode.model, NAMES)[0]).texts(
        own.of_labels(encode.model, NAMES)[1], 8, "labels"
    )
    found = build(encode, coop, tmp_path)
    np.testing.assert_allclose(found.bank.labels, expected, atol=1e-6)
    assert np.abs(found.bank.labels - plain.bank.labels).max() > 0.01
    assert found.negatives == plain.negatives
    np.testing.assert_array_equal(found.bank.negatives, plain.bank.negatives)

    found = build(encode, lapt, tmp_path)
    np.testing.assert_allclose(found.bank.labels, expected, atol=1e-6)
    assert found.negatives == plain.negatives
    larger, ids, _ = own.of_words(encode.model, NAMES, found.negatives)
    expected = encode._replace(model=larger).texts(ids, 8, "words")
    np.testing.assert_allclose(found.bank.negatives, expected, atol=1e-6)


def test_what_contexts_gave_is_kept_by_their_file(encode, tmp_path):
    counting = Counting(encode)
    counting._replace = lambda model: counting
    counting.model, counting.mesh, counting.encode = encode.model, encode.mesh, encode
    counting.texts_shared = lambda ids, size, what, raw: (
        counting.seen.append((what, len(ids))) or np.zeros((len(ids), 12), np.float32)
    )
    positive, negative = contexts(1, 2, 16), contexts(3, 2, 16)
    file = saved(tmp_path / "a.npz", ctx_positive=positive, ctx_negative=negative)
    none = {"negatives__fraction": 0.0}
    text = build(counting, file, tmp_path, **none)
    assert counting.seen == [("labels", 3), ("negatives", 9)]
    assert text.negatives[3] == "one_two (negative 1)"
    build(counting, file, tmp_path, **none)
    assert len(counting.seen) == 2
    saved(file, ctx_positive=positive, ctx_negative=negative + 1)
    build(counting, file, tmp_path, **none)
    assert len(counting.seen) == 4


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": contexts(3, 4)}, "no learned context.*it has labels"),
        ({"a.prompt_learner.ctx": contexts(2, 16), "b.prompt_learner.ctx": contexts(2, 16)},
         "several prompt learners"),
        ({"ood_ctx": contexts(2, 16)}, r"unknown kind \(ood_ctx\)"),
        ({"ctx": contexts(2, 16), "meta_net.linear1.weight": contexts(2, 2)},
         r"unknown kind \(ctx, meta_net"),
        ({"ctx": contexts(16)}, r"shapes.*ctx \(16,\)"),
        ({"ctx": contexts(0, 16)}, r"shapes.*ctx \(0, 16\)"),
        ({"ctx": contexts(2, 16), "ood_ctx": contexts(3, 16)}, r"ood_ctx \(3, 16\)"),
        ({"ctx": contexts(2, 16), "ood_ctx": contexts(5, 2, 16)}, r"ood_ctx \(5, 2, 16\)"),
        ({"ctx_positive": contexts(2, 2, 16), "ctx_negative": contexts(3, 2, 16)}, "shapes"),
        ({"ctx_positive": contexts(4, 1, 2, 16), "ctx_negative": contexts(5, 3, 2, 16)}, "shapes"),
        ({"ctx_positive": contexts(1, 3, 16), "ctx_negative": contexts(3, 2, 16)}, "shapes"),
        ({"ctx": np.full((2, 16), np.nan)}, "NaN"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, arrays, words):
    with pytest.raises(InputError, match=words):
        learned_prompts.read(saved(tmp_path / "a.npz", **arrays), "end")


def test_positions_are_checked(tmp_path):
    file = saved(tmp_path / "a.npz", ctx=contexts(2, 16), ood_ctx=contexts(2, 16))
    with pytest.raises(InputError, match="class_position is 'front'.*ctx, ood_ctx"):
        learned_prompts.read(file, "front")
    with pytest.raises(InputError, match="is end, middle, front, got 'back'"):
        learned_prompts.read("", "back")
    with pytest.raises(InputError, match="does not exist"):
        learned_prompts.read(str(tmp_path / "none.pth"), "end")
    assert learned_prompts.read("", "end") is None


def test_contexts_have_to_fit_the_clip_the_classes_and_the_words(encode, tmp_path):
    def check(classes, mined, **arrays):
        file = saved(tmp_path / "a.npz", **arrays)
        learned_prompts.read(file, "end").check(encode.model, classes, mined)

    check(3, 5, ctx=contexts(3, 2, 16), ood_ctx=contexts(5, 2, 16))
    with pytest.raises(InputError, match="width 8, and the text tower of this CLIP 16"):
        check(3, 5, ctx=contexts(2, 8))
    with pytest.raises(InputError, match="each of 4 ID classes, and there are 3"):
        check(3, 5, ctx=contexts(4, 2, 16))
    with pytest.raises(InputError, match="each of 6 negatives, and there are 5"):
        check(3, 5, ctx=contexts(3, 2, 16), ood_ctx=contexts(6, 2, 16))
    with pytest.raises(InputError, match="each of 4 ID classes, and there are 3"):
        check(3, 0, ctx_positive=contexts(4, 1, 2, 16), ctx_negative=contexts(4, 2, 2, 16))
    too_long = saved(tmp_path / "a.npz", ctx=contexts(15, 16))
    with pytest.raises(InputError, match="tokens, more than the 16 of the model"):
        learned_prompts.read(too_long, "end").of_labels(encode.model, NAMES)


def test_other_text_towers_have_no_words_of_clip(tmp_path):
    tower = clip.SiglipText(
        context_length=4, vocab_size=8, width=16, layers=1, heads=1, mlp_width=16
    )
    other = clip.Model(
        clip.Architecture(embed_dim=12, vision=tiny_clip.ARCHITECTURE.vision, text=tower), {}
    )
    learned = learned_prompts.read(saved(tmp_path / "a.npz", ctx=contexts(2, 16)), "end")
    with pytest.raises(InputError, match=r"has another \(SiglipText\)"):
        learned.check(other, 3, 0)
