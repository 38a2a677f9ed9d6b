"""Against streams and scores recorded from the authors' programs."""

import functools

import jax
import numpy as np
import pytest

from adapt_jax import zero_shot_detectors
from adapt_jax.text_bank import corpus, phrases, prompts
from adapt_jax.zero_shot_detectors import TextBank, mine_negatives
from tests.zero_shot_detectors.data import unit

KEYS = {"combine": "conf_combine", "adaptive": "conf_adaonly", "multiply": "conf_multiply"}


def scores(name, bank, images, **hyper_parameters):
    detector = zero_shot_detectors.make(name, **hyper_parameters)
    return detector.step(detector.init(bank), images, np.ones(len(images), bool))[0]


@pytest.mark.parametrize(
    ("case", "score"),
    [
        ("noadagap_sample", "combine"),
        ("noadagap_task", "combine"),
        ("noadagap_gap0", "adaptive"),
        ("noadagap_oneslot", "multiply"),
        ("ties", "combine"),
        ("adagap_moreid", "combine"),
        ("adagap_window", "combine"),
    ],
)
def test_adaneg_stream(golden, case, score):
    g = golden(f"adaneg_{case}")
    adaptive_gap, length, labels = g["variant"] == "adagap", int(g["cfg_memleng"]), int(g["num_id"])
    detector = zero_shot_detectors.make(
        "adaneg",
        logit_scale=float(g["logit_scale"]),
        groups=int(g["cfg_group_num"]),
        memory_length=length,
        threshold=float(g["cfg_thres"]),
        gap=float(g["cfg_gap"]),
        beta=float(g["cfg_beta"]),  # 5.5, of which the original keeps 5
        lambda_=float(g["cfg_lambdaval"]),
        proxy="sample" if g["cfg_samada"] else "task",
        adaptive_gap=adaptive_gap,
        score=score,
    )
    batches = g["image_feats"] if "image_feats" in g else g["image_feats_f16"].astype(np.float32)
    bank = TextBank(g["text_feats"][:labels], g["text_feats"][labels:])
    state = detector.init(bank)
    np.testing.assert_array_equal(np.ravel(state.groups), g["perm"])

    step = jax.jit(detector.step, donate_argnums=0)  # as a job does
    for i, images in enumerate(batches):
        got, state = step(state, images, np.ones(len(images), bool))
        np.testing.assert_allclose(got, g[KEYS[score]][i], atol=1e-5, rtol=0)
        np.testing.assert_array_equal(1 + state.memory.count, g["next_slot"][i])
        if adaptive_gap:
            ones, size = int(np.sum(state.window.rows)), int(state.window.size)
            np.testing.assert_array_equal([ones, size - ones, size], g["counts"][i])

    recorded = g["final_memory"]  # (C, 1 + L, D): the text, L - 1 images, a slot never used
    np.testing.assert_array_equal(state.memory.images, recorded[:, 1:length])
    np.testing.assert_allclose(state.memory.entropy, g["final_entropy"][:, 1:length], atol=1e-5)
    if "final_window" in g:
        ring = np.roll(state.window.rows, -int(state.window.head))
        np.testing.assert_array_equal(ring, g["final_window"])


@pytest.mark.parametrize("case", ["neglabel_a", "neglabel_q90"])
def test_neglabel(golden, case):
    g = golden(case)
    labels, nouns, adjectives, images = (
        unit(g[f"{name}_feats"]) for name in ("id", "noun", "adj", "image")
    )
    mine = functools.partial(
        mine_negatives,
        labels=labels,
        percentile=float(g["quantile_level"]),
        fraction=float(g["topk_fraction"]),
    )
    chosen = mine(nouns), mine(adjectives)
    np.testing.assert_array_equal(chosen[0], g["selected_nouns"])
    np.testing.assert_array_equal(chosen[1], g["selected_adjs"])

    bank = TextBank(labels, np.concatenate([nouns[chosen[0]], adjectives[chosen[1]]]))
    check = functools.partial(np.testing.assert_allclose, atol=5e-6, rtol=0)
    for key in g:
        if key.startswith("score_ngroup") and key != "score_ngroup1":
            groups, _, option = key.removeprefix("score_ngroup").partition("_")
            seed, temperature = None if option == "nopermute" else 0, 2.0 if option == "t2" else 1.0
            got = scores("neglabel", bank, images, groups=int(groups), group_seed=seed,
                         temperature=temperature)  # fmt: skip
            check(got, g[key])


@pytest.mark.parametrize("case", ["csp_a", "csp_q90"])
def test_csp_from_words_to_scores(golden, case):
    g = golden(case)
    files, seen = {}, set()  # a word stays in the first file, in the order of a directory's listing
    for name, text in zip(g["file_names"].tolist(), g["file_words"].tolist(), strict=True):
        if name not in g["excluded"]:
            found = [word for line in text.splitlines() if (word := line.replace("_", " ").strip())]
            files[name.removesuffix(".txt")] = [word for word in found if word not in seen]
            seen.update(found)
    words = corpus.join(files, skip="")
    candidates = words.nouns, phrases.of(words.adjectives, int(g["random_seed"]))
    assert candidates[0] == tuple(g["nouns"])
    assert candidates[1] == tuple(g["adj_phrases"])

    rows = dict(zip(g["prompts"].tolist(), g["prompt_embeds_raw"], strict=True))
    preset = prompts.PRESETS["csp"]

    def encode(templates, found):  # a table in place of the text tower
        parts = (np.stack([rows[s] for s in prompts.fill(t, found)]) for t in templates)
        return prompts.ensemble(parts, preset.unit_first)

    labels = encode(preset.labels, [f"class{i}" for i in range(int(g["num_id"]))])
    np.testing.assert_allclose(labels, g["id_feats"], atol=1e-6, rtol=0)
    negatives = []
    for kind, templates, found in zip(
        ("nouns", "adjs"), (preset.noun, preset.adjective), candidates, strict=True
    ):
        features = encode(templates, found)
        chosen = mine_negatives(
            features,
            labels,
            float(g["quantile_level"]),
            float(g["topk_fraction"]),
            near_duplicate=0.95,
        )
        np.testing.assert_array_equal(chosen, g[f"selected_{kind}"])
        negatives.append(features[chosen])
    bank = TextBank(labels, np.concatenate(negatives))
    np.testing.assert_allclose(bank.negatives, g["neg_feats"], atol=1e-6, rtol=0)
    for key in g:
        if key.startswith("score_ngroup"):
            groups, _, option = key.removeprefix("score_ngroup").partition("_")
            temperature = 2.0 if option == "t2" else 1.0
            got = scores("csp", bank, g["image_feats"], groups=int(groups), temperature=temperature)
            np.testing.assert_allclose(got, g[key], atol=5e-6, rtol=0)


def test_openood_vlm(golden):
    g = golden("openood_vlm_neglabel")
    labels, images = g["id_feats"], g["image_feats"]
    chosen = []
    for kind in ("adj", "noun"):
        recorded = g[f"selected_{kind}s"]
        rows = mine_negatives(
            g[f"{kind}_feats"], labels, count=len(recorded), convention="openood_vlm"
        )
        np.testing.assert_array_equal(rows, recorded)
        chosen.append(g[f"{kind}_feats"][rows])
    bank = TextBank(labels, np.concatenate(chosen))
    for groups in (100, 7, 1):
        got = scores("neglabel", bank, images, groups=groups)
        np.testing.assert_allclose(got, g[f"score_group{groups}"], atol=5e-6, rtol=0)
    got = scores("mcm", bank, images, logit_scale=100.0, temperature=2)
    np.testing.assert_allclose(got, g["mcm_scaled_tau2"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("temperature", [1, 2])
def test_mcm(golden, temperature):
    g = golden("mcm_official")
    labels, images = unit(g["text_feats_raw"]), unit(g["image_feats_raw"])
    got = scores("mcm", TextBank(labels, labels[:0]), images, temperature=temperature)
    np.testing.assert_allclose(got, -g[f"MCM_T{temperature}"], atol=2e-8, rtol=0)
