"""Tables as CSV, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A CSV file with a header.

    Args:
      rows: the values by column; a column that a row lacks stays empty.
      columns: the names of the columns, in order.

    Returns:
      The content. A text that a spreadsheet would execute as a formula has an apostrophe before
      it, which makes spreadsheets show it as it is.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows({k: safe(v) for k, v in row.items()} for row in rows)
    return out.getvalue()


def safe(value: Any) -> Any:
    """A cell's value, with an apostrophe before a text that a spreadsheet would execute."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)  # -0.25 is a number for spreadsheets, too
    except ValueError:
        return f"'{value}"
    return value
