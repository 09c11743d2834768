"""Tables in Markdown: for reports on standard output, the model card and the documentation."""

from __future__ import annotations

from collections.abc import Sequence

Table = list[str]


def table(head: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> Table:
    """The lines of a table; later rows can be added with `row`."""
    return [row(head), "|---" * len(head) + "|", *map(row, rows)]


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"
