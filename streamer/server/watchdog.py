"""Checks whether the engine works: it may be dead, hang, or fail at every batch.

Pure: it takes the engine's health and the time, and returns the problem.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamer.engine.worker import Health

#: This many failed batches in a row are no accident.
FAILURES = 3


@dataclass(slots=True)
class Watchdog:
    """timeout_s: how long one batch may take. every_s: about how often `look` is called."""

    timeout_s: float
    every_s: float
    _batches: int = -1
    _stuck_s: float = 0.0
    _looked_at: float | None = None

    def look(self, health: Health, now: float) -> str | None:
        """The problem of the engine, as text for people; None if there is none. now: seconds."""
        # A suspended process, or a blocked loop, could not watch the engine meanwhile.
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, 2 * self.every_s)
        self._looked_at = now
        if not health.alive:
            return "The engine's thread has ended."
        if health.failures >= FAILURES:
            return f"The engine failed at {health.failures} batches one after the other."
        if not health.busy or health.batches != self._batches:
            self._batches, self._stuck_s = health.batches, 0.0
            return None
        self._stuck_s += passed
        if self._stuck_s < self.timeout_s:
            return None
        return f"The engine has not answered for {self.timeout_s:g} s."
