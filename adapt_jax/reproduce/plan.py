"""From a published result and what is at hand to the config of our runs, and what that leaves out.

`--sets=tin,mnist=npz:mnist.npz` evaluates these OOD sets only, the second from a source of one's
own; `--set=train_data=npz:train.npz,epochs=5` changes fields of the config. The verdict then says
what the runs were not.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.data import sources, suites
from adapt_jax.data.set_names import SHIFTED
from adapt_jax.data.suites import OodSet
from adapt_jax.reproduce.published import OWN, Result
from adapt_jax.runtime import cli, config_files

_IMAGES = ("train_data", "test_data", "val_data", "ood_val_data")  # other sources, same recipe


class Plan(NamedTuple):
    """Runs that are about to be made.

    result: the published result.
    config: config of the runs, but for the seed.
    sets: the OOD sets that are evaluated.
    changed: fields of the published recipe that were changed by hand.
    """

    result: Result
    config: Any
    sets: tuple[OodSet, ...]
    changed: tuple[str, ...] = ()

    @property
    def zero_shot(self) -> bool:
        """Whether nothing is trained."""
        return "clip" in self.config

    def missing(self) -> dict[str, str]:
        """Sets that are not on this machine -> why."""
        reasons = {}
        for name, source in self.sources().items():
            try:
                sources.check(source)
            except InputError as e:
                reasons[name] = str(e)
        return reasons

    def sources(self) -> dict[str, str]:
        """Every set of images the runs read -> its source."""
        own = {} if self.zero_shot else {"train": self.config.train_data}
        whole = suites.resolve(self.config.ood)
        own["id"] = self.config.test_data or whole.id_test.source
        if self.config.get("search"):
            own |= {"val": self.config.val_data, "ood_val": self.config.ood_val_data}
        shifted = suites.resolve(self.config.ood).sets if self.config.full_spectrum else ()
        every = {s.name: s for s in (*self.sets, *(s for s in shifted if s.group == SHIFTED))}
        return own | {name: s.source for name, s in every.items()}

    def reservations(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """What keeps results from being comparable with the published ones as they stand.

        Args:
          rows: result rows of one run.
        """
        reservations, wanted = [], self.result.ood_sets()
        if len(self.sets) < len(wanted):
            names = ", ".join(s.name for s in self.sets)
            reservations.append(f"judged on {len(self.sets)} of {len(wanted)} sets ({names})")
        if self.changed:
            reservations.append(f"another recipe than the published one: {', '.join(self.changed)}")
        counts = {s.name: s.count for s in wanted}
        protocol = _protocol(self.result)
        expected = protocol.id_test.count if protocol else None
        if expected and self.config.full_spectrum:
            shifted = [s.count for s in protocol.sets if s.group == SHIFTED]
            expected = expected + sum(shifted) if all(shifted) else None
        other = [
            f"{r['ood']} ({r['n_ood']:,}, there {counts[r['ood']]:,})"
            for r in {r["ood"]: r for r in rows}.values()
            if counts.get(r["ood"]) not in (None, r["n_ood"])
        ]
        if rows and expected not in (None, rows[0]["n_id"]):
            other.insert(0, f"ID ({rows[0]['n_id']:,}, there {expected:,})")
        if other:
            reservations.append(f"not the images of the published protocol: {', '.join(other)}")
        return reservations


def make(result: Result, only: Sequence[str] = (), overrides: Sequence[str] = ()) -> Plan:
    """The runs of a published result.

    Args:
      result: the published result.
      only: OOD sets to evaluate, "name" or "name=source"; () for all that the result is about.
      overrides: changes "key=value,..." of the config, see `cli.override`.

    Raises:
      InputError: a set that the result is not about, or a malformed change.
    """
    config = config_files.load_config(result.config)
    if result.set:
        config = cli.override(config, [result.set])
    sets = _chosen(result, only)
    config.detectors = result.detectors()
    protocol, zero_shot = _protocol(result), "clip" in config
    if protocol is not None:
        config.test_data = protocol.id_test.source
        if zero_shot:
            config.class_names = protocol.class_names or config.class_names
        else:
            config.train_data = protocol.id_train.source or config.train_data
            config.val_data = protocol.id_val.source
            config.ood_val_data = protocol.ood_val.source if config.search else ""
    whole = suites.resolve(result.suite)
    shifted = tuple(s for s in whole.sets if s.group == SHIFTED)
    given = cli.overridden(overrides)
    complete = protocol == whole and (*sets, *shifted) == (*_unshifted(whole), *shifted)
    if complete and not (zero_shot and "test_data" in given):
        config.ood = result.suite
        if zero_shot:  # such a config has no test_data beside a suite that fixes it
            config.test_data = ""
    else:
        if zero_shot:
            sets, shifted = tuple(map(_uncut, sets)), tuple(map(_uncut, shifted))
            config.test_data = _uncut(OodSet("", "", config.test_data)).source
        evaluated = [*sets, *(shifted if config.full_spectrum else ())]
        config.ood = ",".join(f"{s.group}/{s.name}={s.source}" for s in evaluated)
    fields = [f for f in given if f not in _IMAGES]
    if overrides:
        config = cli.override(config, overrides)
    return Plan(result, config, sets, tuple(fields))


def _protocol(result: Result) -> suites.Suite | None:
    """The suite that fixes the ID sets; None where the config does."""
    return None if result.id_suite == OWN else suites.resolve(result.id_suite or result.suite)


def _uncut(one: OodSet) -> OodSet:
    """A set without `resize=`, which decides nothing under CLIP's preprocessing."""
    source = re.sub(r"(?<=[?&])resize=[^&]*&?", "", one.source)
    return one._replace(source=source.rstrip("?&"))


def _unshifted(suite: suites.Suite) -> tuple[OodSet, ...]:
    return tuple(s for s in suite.sets if s.group != SHIFTED)


def _chosen(result: Result, only: Sequence[str]) -> tuple[OodSet, ...]:
    """The OOD sets of a result, or those of them that were asked for, from where they are."""
    by_name = {s.name: s for s in result.ood_sets()}
    given = {name: source for name, _, source in (text.partition("=") for text in only)}
    if unknown := sorted(given.keys() - by_name.keys()):
        raise InputError(
            f"{result.name} has no set {unknown[0]!r}; --sets takes some of {', '.join(by_name)}, "
            "each with a source of your own if you like: name=npz:FILE"
        )
    chosen = [s for s in by_name.values() if not given or s.name in given]
    sets = [s._replace(source=given.get(s.name) or s.source) for s in chosen]
    return tuple(s._replace(source=sources.parse(s.source).text) for s in sets)
