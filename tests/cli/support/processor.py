"""What a command costs the processor, against what this machine costs at the same moment.

A bar in seconds holds on an idle machine alone: a shared one takes up to twice the time, processor time included, as
other work takes its caches and its clock.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

#: What every command has to import; 0.13 to 0.25 s of the processor where a command that finds a mistake takes 0.43 to
#: 0.75 s, and importing torch alone would take 1.5 s and more.
EVERY = "import numpy, typer"
#: How often a command is run, for one run that is quick: what else the machine does makes runs slower, never quicker.
TRIES = 5


def run(command: list[str], **options: Any) -> tuple[subprocess.CompletedProcess[str], float]:
    """A command that has run, and the seconds it took the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cheap(measured: Callable[[], tuple[Result, float]], times: float = 4.0) -> Result:
    """The result of what must not cost more seconds than these times what every command has to take."""
    found = []
    for _ in range(TRIES):
        _, every_s = run([sys.executable, "-c", EVERY])
        result, seconds = measured()
        found.append((seconds, every_s))
        if seconds <= times * every_s:
            return result
    raise AssertionError(f"(seconds, seconds every command has to take): {found}; at most {times} times is allowed")
