"""Limits how fast a client may send: a leaky bucket that arriving data fills and time empties.

https://en.wikipedia.org/wiki/Leaky_bucket#As_a_meter
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pacer:
    """At most `burst` at once and `rate` a second after that; beyond it, `take` returns how long to wait.

    The caller waits before it reads on, so the transport's flow control slows the client down, and nothing
    is buffered here. The caller passes the time, in seconds; it must not run backwards.
    """

    rate: float
    burst: float
    level: float = 0.0
    updated_at: float | None = None

    def take(self, amount: float, now: float) -> float:
        """Count `amount`; returns the seconds to wait before more may come."""
        if self.updated_at is not None:
            self.level = max(0.0, self.level - (now - self.updated_at) * self.rate)
        self.updated_at = now
        self.level += amount
        return max(0.0, (self.level - self.burst) / self.rate)
