"""Result rows as tables: for the console and for Markdown, in percent, conventions named."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from adapt_jax import metrics
from adapt_jax.metrics import selective

Row = dict[str, Any]
MEAN = "mean"  # the "ood" of a row that averages a group
KEYS = {"detector": "detector", "ood": "OOD set", "group": "group"}
COLUMNS = ("fpr95", "fpr95_idpos_nearest", "auroc", "aupr_in", "aupr_out")
LABELS = {
    "auroc": "AUROC",
    "fpr95": "FPR95 (OOD+)",
    "fpr95_idpos_first": "FPR95 (ID+, first)",
    "fpr95_idpos_nearest": "FPR95 (ID+, nearest)",
    "fpr95_idpos_pct": "FPR95 (ID+, percentile)",
    "aupr_in": "AUPR-in",
    "aupr_out": "AUPR-out",
    "ap_in": "AP-in",
    "ap_out": "AP-out",
    "aurc": "AURC",
    "augrc": "AUGRC",
    "scod_aurc": "AURC (with OOD)",
    "scod_augrc": "AUGRC (with OOD)",
}
ONE_RUN = (
    "one training run: in float32, other numbers of cores or devices change these numbers as much "
    "as another seed does; several seeds, merged, say how much"
)
BEST = "*: the best of the rows about the same OOD images, which those images decided"
_IMPORTANT = (
    "ap_out", "ap_in", "aupr_out", "aupr_in", "fpr95_idpos_pct", "fpr95_idpos_first",
    "fpr95_idpos_nearest", "fpr95", "auroc",
)  # fmt: skip
_WIDEST = 10_000  # characters, of a console that has room for everything
INTERVALS = "[low, high]: 95 % bootstrap interval over test images, not over training seeds"


def percent(row: Row, column: str) -> str:
    """One cell: two decimals in percent, with the deviation where rows were aggregated, and the
    interval where one was computed.
    """
    cell = f"{100 * row[column]:.2f}"
    if f"{column}_std" in row:
        cell += f" ± {100 * row[f'{column}_std']:.2f}"
    if f"{column}_low" in row:
        cell += f" [{100 * row[f'{column}_low']:.2f}, {100 * row[f'{column}_high']:.2f}]"
    return cell


def conventions(columns: Sequence[str]) -> list[str]:
    """What each column says, one line per column."""
    described = (*metrics.COLUMNS, *selective.COLUMNS)
    return [f"{LABELS[n]}: {text}" for n, text in described if n in columns]


def less_is_better(column: str) -> bool:
    """Of FPR95 and of risks."""
    return column.startswith(("fpr", "aurc", "augrc", "scod"))


def _legend(rows: Sequence[Row], columns: Sequence[str], prefix: str = "") -> list[str]:
    """The conventions of columns with a prefix, and what brackets say where a cell has some."""
    bracketed = any(f"{c}_low" in row for row in rows for c in columns)
    return conventions([c for c in columns if c.startswith(prefix)]) + [INTERVALS] * bracketed


@dataclasses.dataclass(frozen=True)
class ConsoleTable:
    """A table that leaves out columns where the console is too narrow for all of them.

    Fields as in `table`.
    """

    rows: Sequence[Row]
    columns: Sequence[str]
    title: str
    keys: Mapping[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table of as many columns as fit, the most used ones first."""
        unlimited = options.update(width=_WIDEST)
        kept = list(self.columns)
        made = self._made(kept)
        while Measurement.get(console, unlimited, made).minimum > options.max_width:
            if len(kept) == 1:
                made = self._made(kept, narrowest_key=1)
                break
            kept.remove(min(kept, key=_IMPORTANT.index))
            made = self._made(kept)
        yield made

    def _made(self, columns: Sequence[str], narrowest_key: int = 8) -> Table:
        legend = _legend(self.rows, columns, "fpr95")
        if without := [LABELS[c] for c in self.columns if c not in columns]:
            legend.append(f"too narrow here for {', '.join(without)}; the files have all columns")
        best = _best(self.rows, columns)
        legend += [BEST] * bool(best)
        caption = Text("\n".join(legend))
        title = Text(self.title) if self.title else None
        out = Table(title=title, caption=caption, caption_justify="left")
        for key, heading in self.keys.items():
            longest = max((len(str(row[key])) for row in self.rows), default=0)
            out.add_column(heading, overflow="fold", min_width=min(longest, narrowest_key))
        for name in columns:
            out.add_column(LABELS[name].replace(" ", "\n"), justify="right", no_wrap=True)
        for row, mean, ends in _lines(self.rows, self.keys):
            cells = [Text(str(row[k])) for k in self.keys]  # brackets in a name are not markup
            for c in columns:
                marked = row[c] == best.get(_place(row, c))
                cells.append(Text("* " * marked + percent(row, c), "green" if marked else ""))
            out.add_row(*cells, style="bold" if mean else "", end_section=ends)
        return out


def table(
    rows: Sequence[Row],
    columns: Sequence[str] = COLUMNS,
    title: str = "",
    keys: Mapping[str, str] = KEYS,
) -> ConsoleTable:
    """A console table in percent; mean rows are bold and close their group, the best is marked.

    Args:
      rows: result rows, in the order to be shown.
      columns: metrics to show.
      title: title of the table, with the protocol.
      keys: fields that name a row, with their headings. Without "ood" no row is bold, and a line is
        drawn where any key but the last changes.
    """
    return ConsoleTable(rows, columns, title, keys)


def _best(rows: Sequence[Row], columns: Sequence[str]) -> dict[tuple, float]:
    """The best value of every column for every OOD set that several rows are about."""
    values: dict[tuple, list[float]] = {}
    for row in rows:
        for c in columns:
            values.setdefault(_place(row, c), []).append(row[c])
    return {
        place: (min if place[0].startswith("fpr") else max)(numbers)
        for place, numbers in values.items()
        if len(numbers) > 1
    }


def _place(row: Row, column: str) -> tuple:
    return column, row["group"], row["ood"]


def markdown(
    rows: Sequence[Row], columns: Sequence[str] = COLUMNS, keys: Mapping[str, str] = KEYS
) -> str:
    """The same as a Markdown table (percent), followed by what each column says."""
    lines = [[*keys.values(), *(LABELS[c] for c in columns)]]
    lines.append(["---"] * len(keys) + ["---:"] * len(columns))
    for row, mean, _ in _lines(rows, keys):
        cells = [*(row[k] for k in keys), *(percent(row, c) for c in columns)]
        cells = [c.replace("|", "\\|").replace("\n", " ") for c in cells]
        lines.append([f"**{c}**" if mean else c for c in cells])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return text + "\n\n" + "\n".join(f"- {line}" for line in _legend(rows, columns)) + "\n"


def latex(
    rows: Sequence[Row], columns: Sequence[str] = COLUMNS, keys: Mapping[str, str] = KEYS
) -> str:
    """The same for LaTeX (package booktabs), what each column says as comments above it."""
    lines = [f"% {escape(line)}" for line in _legend(rows, columns)]
    lines += [rf"\begin{{tabular}}{{{'l' * len(keys)}{'r' * len(columns)}}}", r"\toprule"]
    names = [*keys.values(), *(LABELS[c] for c in columns)]
    lines += [" & ".join(map(escape, names)) + r" \\", r"\midrule"]
    for row, mean, ends in _lines(rows, keys):
        cells = [escape(str(row[k])) for k in keys]
        cells += [percent(row, c).replace("±", r"$\pm$") for c in columns]
        if mean:
            cells = [rf"\textbf{{{c}}}" for c in cells]
        lines.append(" & ".join(cells) + r" \\")
        if ends:
            lines.append(r"\midrule")
    lines = lines[:-1] if lines[-1] == r"\midrule" else lines
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX shows it."""
    special = {c: rf"\{c}" for c in "&%$#_{}"}
    special |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"\\": r"\textbackslash{}", "\n": " "}
    return "".join(special.get(c, c) for c in text)


def without_single_means(rows: Sequence[Row]) -> list[Row]:
    """The rows without the means of groups that have a single set, which would say it twice."""
    sets: dict[str, set] = {}
    for row in rows:
        sets.setdefault(row["group"], set()).add(row["ood"])
    return [
        r
        for r in rows
        if r["ood"] != MEAN or sets[r["group"]] == {MEAN} or len(sets[r["group"]]) > 2
    ]


def _lines(rows: Sequence[Row], keys: Mapping[str, str]) -> Iterator[tuple[Row, bool, bool]]:
    """The rows to be shown: whether each is a mean, and whether a part of the table ends there."""
    if "ood" in keys:
        rows, parts = without_single_means(rows), [k for k in keys if k != "ood"]
    else:
        parts = list(keys)[:-1]
    for row, following in zip(rows, [*rows[1:], {}]):
        mean = "ood" in keys and row["ood"] == MEAN
        yield row, mean, any(row[k] != following.get(k) for k in parts)
