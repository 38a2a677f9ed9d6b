"""Fields that are set by hand and decide nothing are refused, in every job."""

import numpy as np
import pytest

from adapt_jax import compare
from adapt_jax.config import default_config, unused
from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.core.errors import InputError
from adapt_jax.experiment import checks
from adapt_jax.runtime import cli
from adapt_jax.zero_shot import job, plan
from tests.e2e import small

SUITE = "openood_cifar10"


def refuse(given, **overrides):
    """What a run of the small config says to fields that were set by hand."""
    config = small.config(**overrides)
    config = cli.override(config, given)
    defaults = default_config(config.method.name).to_dict()
    values = config.to_dict()
    unused.refuse(cli.overridden(given), checks.unused.reasons(config), values, defaults)


@pytest.mark.parametrize(
    ("given", "overrides", "words"),
    [
        ("test_data=digits:train", {"ood": SUITE}, f"test_data.*suite {SUITE} fixes that set"),
        ("val_data=digits:train", {"ood": SUITE}, f"val_data.*suite {SUITE} fixes that set"),
        ("ood_val_data=photos", {"ood": SUITE, "search": True}, f"suite {SUITE} fixes that set"),
        ("ood_val_data=photos", {}, "only a search sees it"),
        ("epochs=3", {}, "total_steps is 24"),
        ("augment.hue=0.3", {"augment__jitter_probability": 0.0}, "jitter_probability is 0"),
        ("model.frozen_batch_norm=False", {}, "no stage is frozen"),
        ("model.embedding_dim=64", {"method": {"name": "cross_entropy", "params": {}}},
         "trains a classifier"),
    ],
)  # fmt: skip
def test_training_fields(given, overrides, words):
    with pytest.raises(InputError, match=rf"config field {given.split('=')[0]} has no effect.*"):
        refuse([given], **overrides)
    with pytest.raises(InputError, match=words):
        refuse([given], **overrides)


@pytest.mark.parametrize(
    ("given", "overrides"),
    [
        ("test_data=digits:train", {}),
        ("test_data=digits:train", {"ood": "tfds_cifar10"}),
        ("val_data=digits:train,ood_val_data=photos", {"search": True}),
        (
            "augment.hue=0.3,model.embedding_dim=64,batch_size=32",
            {"augment__jitter_probability": 0.8},
        ),
        ("model.frozen_batch_norm=True,epochs=500", {}),  # the defaults
        ("prefetch=3", {}),
        ("ood_val_data=", {}),
    ],
)
def test_fields_that_count(given, overrides):
    refuse([given], **overrides)


def test_what_a_config_file_says_is_not_set_by_hand():
    config = small.config(ood=SUITE, test_data="digits:train", ood_val_data="photos", epochs=3)
    unused.refuse((), checks.unused.reasons(config), config.to_dict(), {})


def zero_shot(given, **overrides):
    config = zero_shot_config.default_config()
    for key, value in overrides.items():
        small.assign(config, key.replace("__", "."), value)
    config = cli.override(config, given)
    plan.refuse_unused(cli.overridden(given), plan.unused(config), plan.scoring(config))


@pytest.mark.parametrize(
    ("given", "overrides", "words"),
    [
        ("test_data=folder:x", {}, "suite mos_imagenet fixes the ID test set"),
        ("clip.revision=abc", {"clip__path": "."}, "no revisions"),
        ("prompts.preset=openood_vlm", dict.fromkeys(
            ("prompts__labels", "prompts__noun", "prompts__adjective"), "{}"), "replace all"),
        ("negatives.fraction=0.3", {"negatives__count": 10}, "count is 10"),
        ("negatives.percentile=0.5", {"negatives__fraction": 0.0}, "no negatives are wanted"),
        ("corpus.place=embedded", {"negatives__fraction": 0.0}, "no negatives are wanted"),
        ("corpus.phrases=True", {"negatives__count": 0}, "no negatives are wanted"),
        ("prompts.noun=a {}", {"negatives__count": 0}, "no negatives are wanted"),
        ("corpus.lost_heads=False", {"corpus__place": "embedded"}, "WordNet's files"),
        ("corpus.place=embedded", {"negatives__file": "a.txt"}, "negatives.file is a.txt"),
        ("negatives.fraction=0.3", {"negatives__file": "a.txt"}, "all its words"),
        ("prompts.noun=a {}", {"text_features": "a.npz"}, "text_features is a.npz"),
        ("learned_prompts.class_position=front", {}, "no learned_prompts.file"),
        ("learned_prompts.file=a.npz", {"text_features": "a.npz"}, "text_features is a.npz"),
        ("stream.order=id_first", {"detectors": "mcm,csp"}, "no score depends on it with mcm, csp"),
        ("stream.batch_size=8", {"detectors": "neglabel?groups=9"}, "no score depends on it"),
    ],
)  # fmt: skip
def test_zero_shot_fields(given, overrides, words):
    with pytest.raises(InputError, match=words):
        zero_shot([given], **overrides)


def test_fields_that_learned_prompts_replace(tmp_path):
    file = str(tmp_path / "coop.npz")
    np.savez(file, ctx=np.ones((2, 8)))
    zero_shot(["prompts.labels=a {}"], learned_prompts__file=file)  # they rank the words
    no_words = {"learned_prompts__file": file, "negatives__fraction": 0.0}
    with pytest.raises(InputError, match="prompts.labels has no effect.*no words are mined"):
        zero_shot(["prompts.labels=a {}"], **no_words)
    np.savez(file, ctx_positive=np.ones((1, 2, 8)), ctx_negative=np.ones((3, 2, 8)))
    for given in ("prompts.labels=a {}", "corpus.place=embedded", "negatives.count=3"):
        with pytest.raises(InputError, match="has no effect here.*negatives of every class"):
            zero_shot([given], learned_prompts__file=file)


def test_zero_shot_fields_that_count():
    zero_shot(["negatives.fraction=0.5,prompts.labels=a {},corpus.place=embedded,seed=3"])
    zero_shot(["test_data=digits"], ood="far/a=photos")
    zero_shot(["stream.order=id_first"], detectors="mcm,tanl")
    zero_shot(["stream.mix=1:1"], detectors="mcm")


@pytest.mark.parametrize("given", ["clip.path=x", "test_data=digits", "corpus.first=adjectives"])
def test_embeddings_from_elsewhere_leave_no_choice_of_a_model(given, tmp_path):
    config = cli.override(zero_shot_config.default_config(), [given])
    with pytest.raises(InputError, match=f"{given.split('=')[0]} has no effect.*from_features"):
        job.from_features(config, str(tmp_path), str(tmp_path), given=cli.overridden([given]))
    with pytest.raises(InputError, match=r"text\.npz does not exist"):
        job.from_features(config, str(tmp_path), str(tmp_path))


def test_the_domain_shift_that_was_plain_imagenet(tmp_path):
    """Whoever calls it, and whatever said so: the config would name images that are not there."""
    config = zero_shot_config.default_config()
    config.test_data = "folder:imagenet-sketch"
    with pytest.raises(InputError, match="test_data has no effect.*mos_imagenet fixes"):
        job.zero_shot(config, str(tmp_path / "run"))


def test_a_comparison_needs_one_config_with_an_effect(tmp_path):
    files = [str(small.ROOT / "configs" / f"digits_{name}.py") for name in ("adapt", "palm")]
    with pytest.raises(InputError, match="ood_val_data has no effect"):
        compare.compare(files, [0], str(tmp_path), overrides=["ood_val_data=photos"])
