"""A short run of `benchmarks/soak.py`: a real server in a process of its own, whose people change all the time."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def soak(monkeypatch):
    """The benchmark, whose modules lie beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("soak")
    for name in ("soak", "server", "crowd"):
        sys.modules.pop(name, None)


def test_while_people_come_change_and_go_all_the_time_nothing_is_lost(soak):
    arguments = argparse.Namespace(clients=3, seconds=14.0, people=600, step=1.0, model="default", precision="float32")
    result = asyncio.run(soak.soak(arguments))
    said = soak.report(result)
    assert result.outcomes == {"ended": 3}, said
    assert (result.lost, result.skipped, result.missing) == (0, 0, 0), said
    assert result.exit_code == 0, said
    assert not result.changes.problems, said
    assert {"enrolled", "renamed", "removed"} <= set(result.changes.took_s), said
    assert len(result.lags_ms) > 0, said
