"""A finding of the doctor, and the table of all of them."""

import dataclasses
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

OK, WARN, FAIL = "OK", "WARN", "FAIL"
_NARROW = 72  # characters, below which columns would hold a word or two
STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}


class Finding(NamedTuple):
    """One observation: status OK, WARN or FAIL; remedy is "" when it is OK."""

    status: str
    what: str
    detail: str
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class FindingsTable:
    """Findings for the console: a table, or a list where it is too narrow for one."""

    findings: list[Finding]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The worst at the end, where one looks first."""
        ordered = sorted(self.findings, key=lambda f: list(STYLES).index(f.status))
        if options.max_width < _NARROW:
            for status, what, *texts in ordered:
                yield Text.assemble((status, STYLES[status]), f" {what}")
                yield from (Padding(Text(text), (0, 0, 0, 2)) for text in texts if text)
            return
        out = Table(expand=True)
        out.add_column("", width=4)
        for heading, ratio in (("what", 3), ("detail", 6), ("what to do", 4)):
            out.add_column(heading, overflow="fold", ratio=ratio)
        for status, *texts in ordered:
            out.add_row(Text(status, style=STYLES[status]), *map(Text, texts))
        yield out


def table(findings: list[Finding]) -> FindingsTable:
    """Findings for the console, the worst at the end, where one looks first."""
    return FindingsTable(findings)
