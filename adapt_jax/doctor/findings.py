"""A finding of the doctor, and the table of all of them."""

from typing import NamedTuple

from rich.table import Table
from rich.text import Text

OK, WARN, FAIL = "OK", "WARN", "FAIL"
STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}


class Finding(NamedTuple):
    """One observation: status OK, WARN or FAIL; remedy is "" when it is OK."""

    status: str
    what: str
    detail: str
    remedy: str = ""


def table(findings: list[Finding]) -> Table:
    """Findings for the console, the worst at the end, where one looks first."""
    out = Table(expand=True)
    out.add_column("", width=4)
    for heading, ratio in (("what", 3), ("detail", 6), ("what to do", 4)):
        out.add_column(heading, overflow="fold", ratio=ratio)
    for status, *texts in sorted(findings, key=lambda f: list(STYLES).index(f.status)):
        out.add_row(Text(status, style=STYLES[status]), *map(Text, texts))
    return out
