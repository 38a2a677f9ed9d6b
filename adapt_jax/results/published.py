"""Tables for publication: in LaTeX for a paper, and the CSV of OpenOOD's leaderboard."""

from collections.abc import Sequence

from adapt_jax.core.errors import InputError
from adapt_jax.results import tables
from adapt_jax.results.tables import MEAN, Row

COLUMNS = ("fpr95", "auroc")
"""What a paper shows of each set."""

_OPENOOD = {"fpr95": "FPR@95", "auroc": "AUROC", "aupr_in": "AUPR_IN", "aupr_out": "AUPR_OUT"}


def paper(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    r"""A LaTeX table (package booktabs) with a row per method and the metrics of every set.

    The best value of each column is bold and the second underlined; values that are equal as
    printed are marked alike. A group of two sets or more ends in its mean. Deviations over seeds
    are subscripts.

    Args:
      rows: rows of the table, from `merge.merge`.
      columns: metrics of each set.
    """
    names = [k for k in ("run", "detector") if len({r[k] for r in rows}) > 1] or ["run"]
    by_entry: dict[tuple, dict[tuple, Row]] = {}
    for row in rows:
        by_entry.setdefault((row["run"], row["detector"]), {})[row["group"], row["ood"]] = row
    blocks = _blocks(rows)
    marks = {(block, c): _marks(by_entry.values(), block, c) for block in blocks for c in columns}
    several = len({group for group, _ in blocks}) > 1
    head, rules, start = [" &" * (len(names) - 1)], [], len(names) + 1
    for group, ood in blocks:
        title = (f"{group} mean" if several else MEAN) if ood == MEAN else ood
        head.append(rf"\multicolumn{{{len(columns)}}}{{c}}{{{tables.escape(title)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + len(columns) - 1}}}")
        start += len(columns)
    labels = [{"run": "method"}.get(name, name) for name in names]
    labels += [_label(c) for c in columns] * len(blocks)
    lines = [f"% {tables.escape(line)}" for line in tables.conventions(columns)]
    lines += [rf"\begin{{tabular}}{{{'l' * len(names)}{'r' * len(columns) * len(blocks)}}}"]
    lines += [r"\toprule", " & ".join(head) + r" \\", "".join(rules)]
    lines += [" & ".join(labels) + r" \\", r"\midrule"]
    for (run, detector), metrics_of in by_entry.items():
        row_names = {"run": run, "detector": detector}
        cells = [tables.escape(row_names[name]) for name in names]
        cells += [_cell(metrics_of.get(b), c, marks[b, c]) for b in blocks for c in columns]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def openood(rows: Sequence[Row]) -> str:
    """The CSV that OpenOOD's `eval_ood.py --save-csv` writes, for its leaderboard.

    Mean and population deviation where there are several seeds, as it writes for CIFAR; one number
    for a single run, as it writes for ImageNet. ACC is the accuracy of the classifier; without one,
    that of the linear probe or else of the nearest class mean. Source: Jingkang50/OpenOOD (v1.5).

    Args:
      rows: rows of one method and one detector, from `merge.merge`.

    Raises:
      InputError: several methods or detectors, other groups than near and far, or no accuracy.
    """
    entries = list(dict.fromkeys((r["run"], r["detector"]) for r in rows))
    if len(entries) > 1:
        named = "; ".join(" / ".join(entry) for entry in entries)
        raise InputError(
            f"OpenOOD's leaderboard takes one method and detector per file, not {named}; give the "
            "runs of one method, and one detector with --detector=NAME"
        )
    if groups := {r["group"] for r in rows} ^ {"near", "far"}:
        raise InputError(
            f"OpenOOD's leaderboard has the groups near and far, which does not fit: {groups}"
        )
    if "accuracy" not in rows[0]:
        raise InputError("the results have no accuracy on the ID test set, and OpenOOD asks for it")
    lines = [",".join(["", *_OPENOOD.values(), "ACC"])]
    by_group = sorted(rows, key=lambda r: (r["group"] == "far", r["ood"] == MEAN))  # stable
    for row in by_group:
        name = f"{row['group']}ood" if row["ood"] == MEAN else row["ood"]
        if "openood_cifar" in row["protocol"] and name == "textures":
            name = "texture"
        lines.append(",".join([name, *(_plain(row, c) for c in (*_OPENOOD, "accuracy"))]))
    return "\n".join(lines) + "\n"


def _blocks(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(group, set) in the order of the rows; groups of one set have no mean."""
    blocks = dict.fromkeys((r["group"], r["ood"]) for r in tables.without_single_means(rows))
    groups = list(dict.fromkeys(group for group, _ in blocks))
    return sorted(blocks, key=lambda b: (groups.index(b[0]), b[1] == MEAN))


def _marks(entries, block: tuple[str, str], column: str) -> dict[str, str]:
    """Printed value -> the LaTeX command that marks it, of the best and the second value."""
    values = {f"{100 * row[block][column]:.2f}" for row in entries if block in row}
    ranked = sorted(values, key=float, reverse=not tables.less_is_better(column))
    return dict(zip(ranked, ("textbf", "underline"))) if len(entries) > 1 else {}


def _cell(row: Row | None, column: str, marks: dict[str, str]) -> str:
    if row is None:
        return "--"
    value = f"{100 * row[column]:.2f}"
    cell = rf"\{marks[value]}{{{value}}}" if value in marks else value
    if f"{column}_std" in row:
        cell += rf"$_{{\pm {100 * row[f'{column}_std']:.2f}}}$"
    return cell


def _label(column: str) -> str:
    arrow = r"$\downarrow$" if tables.less_is_better(column) else r"$\uparrow$"
    return f"{tables.escape(tables.LABELS[column].partition(' (')[0])} {arrow}"


def _plain(row: Row, column: str) -> str:
    cell = f"{100 * row[column]:.2f}"
    return f"{cell} ± {100 * row[f'{column}_std']:.2f}" if f"{column}_std" in row else cell
