"""Text from users, above all names of people and files, for output to a terminal or a file.

It is never parsed as markup: `[sales]` in a name is not a style of Rich. A character outside the output's encoding (a
name in another script under cron, or on Windows when redirected) becomes a question mark and does not end the run.
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
    """Whether a console can be redrawn: it is a terminal that can move its cursor, unlike one with TERM=dumb."""
    return console.is_terminal and not console.is_dumb_terminal


def carries_unicode(file: TextIO) -> bool:
    """Whether an output can encode any character: whether its encoding is a Unicode one."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        return codecs.lookup(encoding).name.startswith(("utf-8", "utf-16", "utf-32"))
    except LookupError:
        return False


def replace_unprintable() -> None:
    """Let standard output print a question mark for characters outside its encoding; standard error escapes them
    anyway.

    This matters for UTF-8 too: Python represents a file name that is not UTF-8 with lone surrogates.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
