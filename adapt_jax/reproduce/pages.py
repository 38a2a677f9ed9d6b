"""The list of published results, and verdicts, as tables for the console and as Markdown."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from adapt_jax import metrics
from adapt_jax.reproduce import plan as planning
from adapt_jax.reproduce.published import COLUMNS, Figure, Line, Result

_LIST = ("name", "what", "published", "FPR95 / AUROC", "source", "config", "needs", "image sets")
_VERDICT = ("line", "place", "figure", "ours", "theirs", "difference", "band", "")
_DESCRIBED = dict(metrics.COLUMNS)


def overview(
    results: Sequence[Result], *, here: bool = True
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heading and rows of the list: one row per line of a published table.

    Args:
      results: the published results to list.
      here: whether to look which image sets are on this machine.
    """
    rows = []
    for result in results:
        plan = planning.make(result)
        sets = f"{len(plan.sources())} ({result.suite})"
        facts = (result.source, result.config, result.needs, _here(plan) if here else sets)
        for i, line in enumerate(result.lines):
            head = (result.name, result.title) if i == 0 else ("", "")
            runs = f" ({result.runs} runs)" if result.runs > 1 else ""
            tail = facts if i == 0 else ("",) * len(facts)
            rows.append((*head, f"{line.label}{runs}", _means(line), *tail))
    return _LIST, rows


def _here(plan: planning.Plan) -> str:
    every, missing = plan.sources(), plan.missing()
    text = f"{len(every) - len(missing)} of {len(every)} here"
    return text + (f"; missing: {', '.join(missing)}" if 0 < len(missing) < len(every) else "")


def details(result: Result) -> str:
    """Everything about one result, as text: lines with all cells, sets and their sources."""
    plan = planning.make(result)
    missing = plan.missing()
    recipe = f"configs/{result.config}.py" + (f" with {result.set}" if result.set else "")
    seeds = f"{result.runs or 'an unknown number of'} runs there, {result.seeds} here"
    text = [
        f"{result.name}: {result.title}",
        f"  source: {result.source}",
        f"  recipe: {recipe}",
        f"  seeds: {seeds}",
        f"  FPR95: {_DESCRIBED[result.fpr]}",
        f"  needs: {result.needs}",
    ]
    text += [f"  note: {result.note}"] if result.note else []
    if result.floor:
        text.append("  the figures are a floor: of other methods, which this should not fall below")
    for name, source in plan.sources().items():
        state = "missing" if name in missing else "here"
        text.append(f"  {state:<8}{name:<22}{source}")
    for line in result.lines:
        text.append(f"  {line.label} ({line.detector}), FPR95 / AUROC")
        for place, cells in line.cells.items():
            text.append(f"    {place:<18}{' / '.join(_figure(cells.get(c)) for c in COLUMNS)}")
    return "\n".join(text)


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |\n" for line in lines)


def console(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The same for the console."""
    table = Table()
    for name in heading:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def verdict_table(verdicts, result: Result) -> Table:
    """Every compared figure, for the console."""
    table = console(_VERDICT, _verdict_rows(verdicts))
    table.caption = _caption(result)
    return table


def verdict(plan: planning.Plan, seeds: Sequence[int], verdicts, warning: str) -> str:
    """verdict.md.

    Args:
      plan: the runs.
      seeds: seeds of the runs.
      verdicts: what `job.run` returns.
      warning: a sentence that has to stand above everything else, or "".
    """
    result = plan.result
    text = [f"# {result.title}", ""]
    text += [f"**{warning}**", ""] if warning else []
    text += [f"- {v.line.label}: **{v.sentence}**" for v in verdicts]
    recipe = f"`configs/{result.config}.py`" + (f" with `{result.set}`" if result.set else "")
    text += [
        f"- theirs: {result.source}; {result.runs or 'unknown'} runs",
        f"- ours: {recipe}; seeds {', '.join(map(str, seeds))}",
        f"- OOD sets: {', '.join(s.name for s in plan.sets)} of `{result.suite}`",
        f"- {_caption(result)}",
    ]
    text += [f"- {result.note}"] if result.note else []
    return "\n".join(text) + "\n\n" + markdown(_VERDICT, _verdict_rows(verdicts))


def _verdict_rows(verdicts) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for v in verdicts:
        for j in v.judgements:
            ours = _figure(Figure(j.ours, j.spread))
            band = "unknown" if j.band is None else f"±{j.band:.2f}"
            row = (v.line.label, j.place, {"fpr95": "FPR95", "auroc": "AUROC"}[j.column])
            rows.append((*row, ours, _figure(j.theirs), f"{j.difference:+.2f}", band, j.state))
    return rows


def _caption(result: Result) -> str:
    text = (
        f"percent; FPR95: {_DESCRIBED[result.fpr]}; ±: population deviation over runs; band: half "
        "width of the 95 % band for the difference of the means, from both deviations"
    )
    if result.tolerance:
        text += f", at least {result.tolerance:g} points for arithmetic and decoding (our choice)"
    return text


def _means(line: Line) -> str:
    """The published means; the sets where there are none."""
    places = [p for p in line.cells if p.endswith("mean")] or list(line.cells)
    shown = []
    for place in places:
        value = " / ".join(_figure(line.cells[place].get(c)) for c in COLUMNS)
        shown.append(value if place == "mean" else f"{place.removesuffix(' mean')} {value}")
    return "; ".join(shown) or "no figure could be read"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.mean:.2f}" + ("" if figure.spread is None else f"±{figure.spread:.2f}")
