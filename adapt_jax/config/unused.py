"""Refuses fields that were set by hand and have no effect.

Whoever runs a job says which fields have no effect in it, and why: `Reasons`. Values that come with
a config file, and defaults, are not set by hand. Fields that decide only time, memory, logs and
pages (`effects.Effect.NOTHING`) may be set in vain.
"""

from collections.abc import Collection, Mapping
from typing import Any

from adapt_jax.config.diff import flatten
from adapt_jax.config.effects import Effect, effect
from adapt_jax.core.errors import InputError

Reasons = Mapping[str, str]  # a field, or a section for all of its fields -> why it has no effect


def refuse(
    given: Collection[str], reasons: Reasons, values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Raises InputError if a field was set by hand and has no effect.

    The arguments are those of `without_effect`.

    Raises:
      InputError: names the first.
    """
    for sentence in without_effect(given, reasons, values, defaults):
        raise InputError(sentence)


def without_effect(
    fields: Collection[str],
    reasons: Reasons,
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> list[str]:
    """One sentence for each field that is not at its default and has no effect.

    Args:
      fields: fields to look at ("model.width").
      reasons: fields that have no effect, with the reasons.
      values: the job's config as a dict.
      defaults: the same with all fields at their defaults.
    """
    values, defaults = flatten(values), flatten(defaults)
    return [
        f"config field {field} has no effect here: {why}"
        for field in fields
        if values.get(field) != defaults.get(field) and effect(field) is not Effect.NOTHING
        for name, why in reasons.items()
        if field == name or field.startswith(f"{name}.")
    ]
