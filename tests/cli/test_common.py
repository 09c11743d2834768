"""The progress bar: only for work that takes long, and only where somebody looks."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from streamer.cli.common import PATIENCE_S, LateProgress


@pytest.mark.parametrize(
    ("seconds", "terminal", "shown"),
    [(PATIENCE_S - 0.1, True, False), (PATIENCE_S + 0.1, True, True), (PATIENCE_S + 0.1, False, False)],
    ids=["quick", "long", "long, into a file"],
)
def test_a_bar_is_shown_for_long_work_on_a_terminal(seconds, terminal, shown):
    output = io.StringIO()
    now = [100.0]
    console = Console(file=output, force_terminal=terminal, width=80)
    with LateProgress("Embedding", total=2, console=console, clock=lambda: now[0]) as progress:
        progress.update(0)
        now[0] += seconds
        progress.update(1)
    assert ("Embedding" in output.getvalue()) == shown
    assert ("50%" in output.getvalue()) == shown
