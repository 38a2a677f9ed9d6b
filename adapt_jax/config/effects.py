"""A table of what each config field decides, which resuming, merging and comparing runs use."""

import enum
from collections.abc import Collection, Mapping
from typing import Any

from adapt_jax.config.diff import differences, flatten


class Effect(enum.IntEnum):
    """What may change when a field changes; a level includes those below its number."""

    NOTHING = 0  # only time, memory, logs and pages
    ROWS = 1  # which rows and columns the results have, not the numbers in them
    RESULT = 2  # numbers in the results
    TRAJECTORY = 3  # the training itself


# Fields of training configs, of zero-shot configs, and of what evaluations of features record.
FIELDS = {
    **dict.fromkeys(
        (
            "seed", "train_data", "input", "image_size", "mean", "std",
            "batch_size", "microbatches", "views", "epochs", "total_steps",
            "method.name", "method.params",
            "model.name", "model.width", "model.blocks", "model.stem", "model.embedding_dim",
            "model.feature_norm", "model.pretrained", "model.trainable", "model.frozen_batch_norm",
            "model.dtype", "model.remat",
            "optimizer.learning_rate", "optimizer.momentum", "optimizer.nesterov",
            "optimizer.weight_decay", "optimizer.schedule", "optimizer.warmup_epochs",
            "augment.crop_scale", "augment.flip", "augment.jitter_probability",
            "augment.brightness", "augment.contrast", "augment.saturation", "augment.hue",
            "augment.grayscale",
        ),
        Effect.TRAJECTORY,
    ),
    **dict.fromkeys(
        (
            "test_data", "ood", "val_data", "ood_val_data", "full_spectrum", "search",
            "eval_mean", "eval_std", "eval_checkpoint", "checkpoint_every",
            "clip.path", "clip.revision", "clip.architecture", "clip.dtype",
            "class_names", "text_features",
            "prompts.preset", "prompts.labels", "prompts.noun", "prompts.adjective",
            "learned_prompts.file", "learned_prompts.class_position",
            "corpus.place", "corpus.skip", "corpus.first", "corpus.lost_heads",
            "corpus.without_labels", "corpus.phrases",
            "negatives.percentile", "negatives.fraction", "negatives.count",
            "negatives.convention", "negatives.near_duplicate", "negatives.file",
            "preprocess.variant", "preprocess.resize",
            "stream.order", "stream.batch_size", "stream.mix", "stream.count",
        ),
        Effect.RESULT,
    ),
    **dict.fromkeys(("detectors", "bootstrap", "linear_probe", "selective"), Effect.ROWS),
    **dict.fromkeys(
        (
            "model.allow_pickle", "input_workers", "prefetch", "eval_batch_size",
            "text_batch_size", "image_batch_size", "log_every", "profile", "tracking", "report",
            "from_features",
        ),
        Effect.NOTHING,
    ),
}  # fmt: skip


def effect(field: str) -> Effect:
    """What a field ("model.width") decides; of one the table lacks, the worst is assumed."""
    if field.startswith("method.params."):
        field = "method.params"
    return FIELDS.get(field, Effect.TRAJECTORY)


def changed(
    a: Mapping[str, Any], b: Mapping[str, Any], at_least: Effect
) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ and that decide at least so much.

    Args:
      a: first config, as a dict.
      b: second config, as a dict.
      at_least: smallest effect of the fields to compare.

    Returns:
      Both values by field ("model.width"); None stands for a field that one of them lacks.
    """
    changes = {k: v for k, v in differences(a, b).items() if effect(k) >= at_least}
    best = "best" in (a.get("eval_checkpoint"), b.get("eval_checkpoint"))
    if at_least > Effect.NOTHING and not best:
        changes.pop("checkpoint_every", None)  # it decides which states the best is chosen from
    if at_least > Effect.NOTHING and None not in (a.get("total_steps"), b.get("total_steps")):
        changes.pop("epochs", None)  # total_steps goes first
    return changes


def between(
    configs: Mapping[str, Any], at_least: Effect, *, but: Collection[str]
) -> dict[str, dict[str, Any]]:
    """The fields in which several configs differ, see `changed`.

    Args:
      configs: configs by name.
      at_least: smallest effect of the fields to compare.
      but: sections that are left out, "seed" or "method".

    Returns:
      {name: value} by field.
    """
    as_dicts = {name: config.to_dict() for name, config in configs.items()}
    first, *others = as_dicts.values()
    differing = {key for other in others for key in changed(first, other, at_least)}
    keys = sorted(k for k in differing if k.split(".")[0] not in but)
    flat = {name: flatten(fields) for name, fields in as_dicts.items()}
    return {k: {name: flat[name].get(k) for name in flat} for k in keys}


def described(differences: Mapping[str, Mapping[str, Any]], most: int = 4) -> str:
    """The first few differences of `between` in words, and the names of the others."""
    parts = [
        f"{key} ({', '.join(f'{name}: {value}' for name, value in values.items())})"
        for key, values in differences.items()
    ]
    rest = [f"and {', '.join(list(differences)[most:])}"] if len(parts) > most else []
    return "; ".join(parts[:most] + rest)
