"""What --sweep, --orders and --seeds ask for, read and checked before any work."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from adapt_jax import zero_shot_detectors
from adapt_jax.config.effects import Effect, effect
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Spec
from adapt_jax.data import streams
from adapt_jax.runtime import cli
from adapt_jax.zero_shot import plan
from adapt_jax.zero_shot.plan import Sweep

_DETECTORS, _ORDER, _STREAM = "detectors", "stream.order", "stream"
_FIXED = {
    "seed": "seeds are given by --seeds",
    _DETECTORS: "all detectors of --config.detectors are lines of the table already; for a "
    "hyper-parameter of theirs write --sweep=detectors.NAME=...",
    **dict.fromkeys(
        ("test_data", "ood", "full_spectrum", "class_names"),
        "numbers of different images or classes are not comparable",
    ),
}


class Changed(NamedTuple):
    """What one value asks for.

    specs: the detectors, by their names in the table.
    stream: how streams are made.
    embedding: words, images and CLIP; None where they are those of the config.
    """

    value: str
    specs: dict[str, Spec]
    stream: streams.Settings
    embedding: plan.Embedding | None


def read(sweep: str, orders: Sequence[str], seeds: Sequence[str]) -> Sweep | None:
    """The flags; None where there is none.

    Args:
      sweep: the text "FIELD=V1,V2,..."; "" for none.
      orders: names of orders, see `data.streams.ORDERS`, as a sweep of stream.order.
      seeds: whole numbers from 0, as text; "0" where there are none.

    Raises:
      InputError: both a sweep and orders, something that cannot be read, or a value named twice.
    """
    if not (sweep or orders or seeds):
        return None
    if sweep and orders:
        raise InputError("--orders is a sweep of stream.order; give --sweep or --orders, not both")
    if sweep:
        field, _, text = sweep.partition("=")
        parsed = Sweep(field, tuple(text.split(",")), ())
        if not field or not all(parsed.values):
            raise InputError(
                f"--sweep={sweep}: write a field and its values, for example stream.mix=1:1,10:1"
            )
    else:
        parsed = Sweep(_ORDER, tuple(orders or (streams.ORDERS[0],)), (), "orders")
    if len(set(parsed.values)) < len(parsed.values):
        raise InputError(f"--{parsed.field} names one twice: {','.join(parsed.values)}")
    return parsed._replace(seeds=cli.seeds(seeds or [0]))


def of(config, sweep: Sweep | None, elsewhere: bool) -> list[Changed]:
    """What every value of a sweep asks for; [] of none.

    Args:
      config: config of the job.
      sweep: field and values.
      elsewhere: whether embeddings were made elsewhere.

    Raises:
      InputError: a field that cannot be swept, a value out of its range, or no detector has the
        hyper-parameter.
    """
    if sweep is None:
        return []
    section, _, name = sweep.field.partition(".")
    if sweep.field in _FIXED or effect(sweep.field) is Effect.NOTHING:
        why = _FIXED.get(sweep.field, "it changes no number")
        raise InputError(f"--sweep={sweep.field}: {why}")
    if section == _DETECTORS:
        settings = plan.scoring(config)
        made = [_with(settings.specs, name, value) for value in sweep.values]
        return [Changed(v, specs, settings.stream, None) for v, specs in zip(sweep.values, made)]
    own = elsewhere or section == _STREAM  # embeddings are those there are
    changes = []
    for value in sweep.values:
        try:
            changed: Any = cli.override(config, [f"{sweep.field}={value}"])
        except InputError as e:
            raise InputError(str(e).replace("--set", "--sweep")) from None
        settings = plan.scoring(changed)
        unused = plan.ELSEWHERE if elsewhere else plan.unused(changed)
        plan.refuse_unused([sweep.field], unused, settings)
        specs = {spec.text: spec for spec in settings.specs}
        wanted = None if own else plan.embedding(changed)
        changes.append(Changed(value, specs, settings.stream, wanted))
    return changes


def _with(specs: Sequence[Spec], name: str, value: str) -> dict[str, Spec]:
    """The detectors with another value of a hyper-parameter, where they have it."""
    having = [spec for spec in specs if name in spec.registry.parameters(spec.name)]
    if not having:
        raise InputError(
            f"--sweep=detectors.{name}: none of {', '.join(spec.text for spec in specs)} has a "
            f"hyper-parameter {name}"
        )
    by_text = {spec.text: spec for spec in specs}
    for spec in having:
        others = (f"{k}={v}" for k, v in spec.params.items() if k != name)
        text = f"{spec.name}?{'&'.join([*others, f'{name}={value}'])}"
        by_text[spec.text] = zero_shot_detectors.parse(text)[0]
    return by_text
