"""HTML tables for notebooks, with every value escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

#: Most rows of a table; a notebook cannot show thousands usefully.
SHOWN = 50


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table of at most `SHOWN` rows, with the number of further rows. Values are shown by `str`."""

    def line(cell: str, values: Sequence[object]) -> str:
        return "<tr>" + "".join(f"<{cell}>{escape(str(value))}</{cell}>" for value in values) + "</tr>"

    body = "".join(line("td", row) for row in rows[:SHOWN])
    more = f"; {len(rows) - SHOWN:,} more rows" if len(rows) > SHOWN else ""
    return (
        f"<table><caption>{escape(caption)}{more}</caption>"
        f"<thead>{line('th', columns)}</thead><tbody>{body}</tbody></table>"
    )
