"""Job: the runs of a published result, each seed trained and evaluated, and the verdict on them."""

import copy
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from adapt_jax import train
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import write_atomically
from adapt_jax.reproduce import pages, published, rehearsal, verdict
from adapt_jax.reproduce import plan as planning
from adapt_jax.reproduce.plan import Plan
from adapt_jax.reproduce.published import Line, group_mean
from adapt_jax.reproduce.verdict import Judgement
from adapt_jax.results import result_files
from adapt_jax.results.tables import MEAN
from adapt_jax.runtime import cli, processes, provenance, terminal
from adapt_jax.workdir import folders
from adapt_jax.zero_shot import job as zero_shot_job


class Verdict(NamedTuple):
    """What our runs say about a line of a published table."""

    line: Line
    judgements: tuple[Judgement, ...]
    sentence: str


def run(
    name: str,
    workdir: str,
    *,
    seeds: Sequence[int] = (),
    sets: Sequence[str] = (),
    overrides: Sequence[str] = (),
    rehearse: bool = False,
) -> list[Verdict]:
    """Makes the runs that are not there yet and compares them with what was published.

    Runs are WORKDIR/NAME/seed<n>, as `adapt_jax.train` or `adapt_jax.zero_shot` makes them:
    finished ones are read, stopped ones resume. Writes verdict.md and verdict.json beside them.

    Args:
      name: a result of published.toml.
      workdir: folder of all results.
      seeds: seeds of our runs; () for 0, 1, ... as many as the result wants.
      sets: the OOD sets that are evaluated, see `plan.make`.
      overrides: changes of the config, see `plan.make`.
      rehearse: whether to run on embedded images in seconds, which reproduces nothing.

    Raises:
      InputError: an unknown result, wrong choices, or image sets that are not on this machine.
      TrainingFailed: a run lost its loss; the finished ones are kept.
    """
    console = terminal.console()
    result = published.find(name)
    plan = planning.make(result, sets, overrides)
    if rehearse:
        plan = rehearsal.scaled_down(plan)
        console.print(rehearsal.WARNING, style="bold")
    elif missing := plan.missing():
        raise InputError(_advice(plan, missing))
    seeds = cli.seeds(seeds or range(result.seeds))
    root = folders.prepare(workdir) / ("rehearsal" if rehearse else "")
    runs = []
    for i, seed in enumerate(seeds):
        folder = root / (result.folder or result.name) / f"seed{seed}"
        console.print(f"run {i + 1} of {len(seeds)}: {name}, {folder}", highlight=False)
        runs.append(_one(plan, folder, seed, rehearse))
    verdicts = [_verdict(plan, line, runs, rehearse) for line in result.lines]
    text = pages.verdict(plan, seeds, verdicts, rehearsal.WARNING if rehearse else "")
    if processes.is_main():
        target = folders.prepare(str(root / result.name))
        write_atomically(target / "verdict.md", text)
        write_atomically(target / "verdict.json", _json(plan, seeds, verdicts, rehearse))
        console.print(pages.verdict_table(verdicts, result))
        for v in verdicts:
            console.print(f"{v.line.label}: {v.sentence}", highlight=False, markup=False)
        console.print(f"verdict: {target / 'verdict.md'}, .json", highlight=False)
    return verdicts


def _one(plan: Plan, folder: pathlib.Path, seed: int, rehearse: bool) -> dict[str, Any]:
    """The results of a seed's run, made if they are not there."""
    config = copy.deepcopy(plan.config)
    config.seed = seed
    if plan.zero_shot and rehearse:
        features = rehearsal.embeddings(plan, folder / "made_up", seed)
        return zero_shot_job.from_features(config, features, str(folder))
    if (content := result_files.finished(folder, config.to_dict())) is not None:
        return content
    if plan.zero_shot:
        return zero_shot_job.zero_shot(config, str(folder), given=())
    return train(config, str(folder), given=())


def _verdict(plan: Plan, line: Line, runs: Sequence[dict[str, Any]], rehearse: bool) -> Verdict:
    result, judgements = plan.result, []
    evaluated = {s.name for s in plan.sets}
    for place, cells in line.cells.items():
        members = {s.name for s in result.ood_sets() if group_mean(s.group) == place}
        if not (members or {place}) <= evaluated:
            continue
        for column, theirs in cells.items():
            rows = [_row(run, line.detector, place) for run in runs]
            if all(row is not None for row in rows):
                ours = [100 * row[result.column(column)] for row in rows]
                judged = verdict.compare(place, column, ours, theirs, result.runs, result.tolerance)
                judgements.append(judged)
    if rehearse:
        shown = tuple(j._replace(state="rehearsal") for j in judgements)
        return Verdict(line, shown, rehearsal.WARNING)
    own = [row for row in runs[0]["rows"] if row["detector"] == line.detector]
    rows = [row for row in own if row["ood"] != MEAN]
    reservations = plan.reservations(rows) if own else [_reason(runs[0], line.detector)]
    said = verdict.sentence(judgements, floor=result.floor, reservations=reservations)
    return Verdict(line, tuple(judgements), said)


def _row(run: dict[str, Any], detector: str, place: str) -> dict[str, Any] | None:
    for row in run["rows"]:
        where = group_mean(row["group"]) if row["ood"] == MEAN else row["ood"]
        if row["detector"] == detector and where == place:
            return row
    return None


def _reason(run: dict[str, Any], detector: str) -> str:
    why = {**run.get("unfit", {}), **run.get("failed", {})}.get(detector, "it has no rows")
    return f"{detector} was not evaluated: {why}"


def _advice(plan: Plan, missing: dict[str, str]) -> str:
    """What to do about sets that are not there."""
    here = [s.name for s in plan.sets if s.name not in missing]
    part = {s.name for s in plan.result.ood_sets()} & set(missing)
    first = next(iter(missing))
    text = f"{len(missing)} of {len(plan.sources())} image sets are not here: {', '.join(missing)}"
    text += f" ({missing[first]}); `python -m adapt_jax.data download {plan.result.suite}` fetches"
    text += " what can be fetched"
    if here and part == set(missing):
        text += f"; --sets={','.join(here)} judges what is here"
    return text


def _json(plan: Plan, seeds, verdicts: Sequence[Verdict], rehearse: bool) -> str:
    content = {
        "name": plan.result.name,
        "source": plan.result.source,
        "rehearsal": rehearse,
        "seeds": list(seeds),
        "config": plan.config.to_dict(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "lines": [
            {
                "label": v.line.label,
                "detector": v.line.detector,
                "verdict": v.sentence,
                "figures": [
                    j._asdict() | {"theirs": j.theirs._asdict(), "difference": j.difference}
                    for j in v.judgements
                ],
            }
            for v in verdicts
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
