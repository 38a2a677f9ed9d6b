"""Numbers that make no sense are refused before any work, in every numeric field there is."""

import math
from numbers import Real

import pytest

from adapt_jax import config, detectors, methods, zero_shot_detectors
from adapt_jax.config import fields, zero_shot
from adapt_jax.config.diff import flatten
from adapt_jax.config.ranges import RANGES
from adapt_jax.core.errors import InputError

CONFIGS = {"training": config.default_config(), "zero-shot": zero_shot.default_config()}
CHECKS = {"training": fields.check, "zero-shot": zero_shot.check_fields}
WIDTH = {"model.width"}  # a number, or four of them: `models.make` checks both


def numeric(settings):
    """The fields that hold a number, or would if they were set."""
    found = set()
    for field, value in flatten(settings.to_dict()).items():
        *parents, last = field.split(".")
        section = settings
        for parent in parents:
            section = section[parent]
        kind = section.get_oneway_ref(last).get_type() if value is None else type(value)
        if issubclass(kind, Real) and kind is not bool and not field.startswith("method.params."):
            found.add(field)
    return found


FIELDS = [(kind, f) for kind, c in CONFIGS.items() for f in sorted(numeric(c) - WIDTH)]


def test_the_table_has_every_numeric_field_and_no_other():
    assert {field for _, field in FIELDS} == RANGES.keys()


@pytest.mark.parametrize(("kind", "field"), FIELDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1])
def test_no_field_takes_nan_infinity_or_what_is_negative(kind, field, value):
    settings = CONFIGS[kind].copy_and_resolve_references()
    with settings.ignore_type():
        settings.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=f"config field {field} must be .*, got {value}"):
        CHECKS[kind](settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 2**32), ("seed", -1), ("optimizer.momentum", 1.0), ("optimizer.momentum", 2.0),
        ("augment.hue", 0.6), ("augment.flip", 1.1), ("optimizer.learning_rate", 1e39),
        ("total_steps", 2**31),
    ],
)  # fmt: skip
def test_the_other_end(field, value):
    settings = config.default_config()
    settings.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=field):
        fields.check(settings)
    settings.update_from_flattened_dict({field: 0})
    fields.check(settings)


FLOATS = [
    (kind, name, key)
    for kind, registry in (
        ("method", methods.REGISTRY),
        ("detector", detectors.REGISTRY),
        ("zero-shot detector", zero_shot_detectors.REGISTRY),
    )
    for name in registry.names()
    for key, parameter in registry.parameters(name).items()
    if "float" in str(parameter.annotation) or isinstance(parameter.default, float)
]
MAKE = {
    "method": lambda name, **given: methods.make(
        name, **dict.fromkeys(methods.parameters(name).keys() & set(methods.FROM_DATA), 8) | given
    ),
    "detector": detectors.make,
    "zero-shot detector": zero_shot_detectors.make,
}


@pytest.mark.parametrize(("kind", "name", "key"), FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_hyper_parameter_takes_nan_or_infinity(kind, name, key, value):
    with pytest.raises((TypeError, ValueError), match=key.rstrip("_")):
        MAKE[kind](name, **{key: value})
