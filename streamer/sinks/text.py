"""Text that users gave, names of people and files above all, on its way to a terminal or a file.

It is never read as markup: `[sales]` in a name is no style of Rich's. What an output's encoding does not have (a name
in another script under cron, or on Windows when redirected) is replaced by a question mark and does not end the run.
"""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A Console for text of any kind: no markup, no emoji codes, no highlighting. options: as for rich's Console."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, **options)


def draws(console: Console) -> bool:
    """Whether a console can be drawn on: a terminal that moves its cursor, which TERM=dumb says it does not."""
    return console.is_terminal and not console.is_dumb_terminal


def carries_unicode(file: TextIO) -> bool:
    """Whether an output takes any character: whether its encoding is one of Unicode's."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        return codecs.lookup(encoding).name.startswith(("utf-8", "utf-16", "utf-32"))
    except LookupError:
        return False


def replace_unprintable() -> None:
    """Let standard output print a question mark for what its encoding does not have; standard error escapes it anyway.

    UTF-8 does not have everything either: a file name that is no UTF-8 is a lone surrogate in Python.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
