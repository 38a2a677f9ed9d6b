"""Result rows as tables: for the console and for Markdown, in percent, conventions named."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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


def table(
    rows: Sequence[Row],
    columns: Sequence[str] = COLUMNS,
    title: str = "",
    keys: Mapping[str, str] = KEYS,
) -> Table:
    """A console table in percent; mean rows are bold and close their group.

    Args:
      rows: result rows, in the order to be shown.
      columns: metrics to show.
      title: title of the table, with the protocol.
      keys: fields that name a row, with their headings. Without "ood" no row is bold, and a line is
        drawn where any key but the last changes.
    """
    legend = Text("\n".join(_legend(rows, columns, "fpr95")))
    out = Table(title=Text(title) if title else None, caption=legend, caption_justify="left")
    for heading in keys.values():
        out.add_column(heading, overflow="fold")
    for name in columns:
        out.add_column(LABELS[name], justify="right")
    for row, mean, ends in _lines(rows, keys):
        cells = [*(row[k] for k in keys), *(percent(row, c) for c in columns)]
        # Text, not str: brackets in the name of a set are not markup.
        out.add_row(*map(Text, cells), style="bold" if mean else "", end_section=ends)
    return out


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
