"""The events that a client has not acknowledged, kept within bounds for a resume."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamer import protocol


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits of what is kept for a resume: beyond them, the oldest events are dropped and counted as lost.

    size: characters of JSON. seconds: how long a session outlives its connection.
    """

    events: int = 2_000
    size: int = 1 << 20
    seconds: float = 30.0


def numbered(number: int, channel: int, event: Mapping[str, Any]) -> str:
    """The text frame of a session's event. An event of a room, which says its own channel, keeps it."""
    return protocol.write({"type": event["type"], "id": number, "channel": channel, **event})


class Replay:
    """Numbers the events of a session from 1 and keeps those after the last acknowledged one.

    size: characters of the kept events.
    """

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.last = 0
        self.acknowledged = 0
        self._forgotten = 0
        self.size = 0
        self._events: deque[tuple[int, str]] = deque()

    @property
    def lost(self) -> int:
        """Unacknowledged events that are no longer kept."""
        return max(0, self._forgotten - self.acknowledged)

    @property
    def pending(self) -> list[str]:
        """The events to send again, in order."""
        return [text for _, text in self._events]

    def add(self, channel: int, event: Mapping[str, Any]) -> str:
        """The text frame of a new event."""
        self.last += 1
        text = numbered(self.last, channel, event)
        self._events.append((self.last, text))
        self.size += len(text)
        while len(self._events) > self.keep.events or self.size > self.keep.size:
            self._forgotten, dropped = self._events.popleft()
            self.size -= len(dropped)
        return text

    def acknowledge(self, event: int) -> None:
        """Every event up to this one has arrived."""
        self.acknowledged = max(self.acknowledged, event)
        while self._events and self._events[0][0] <= event:
            self.size -= len(self._events.popleft()[1])

    def go_on_after(self, event: int) -> None:
        """Number new events after this one: those up to it have arrived, whichever server decided them."""
        self.last = max(self.last, event)
        self.acknowledge(event)

    def snapshot(self) -> dict[str, Any]:
        return {
            "last": self.last,
            "acknowledged": self.acknowledged,
            "forgotten": self._forgotten,
            "events": [list(item) for item in self._events],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.last = int(snapshot["last"])
        self.acknowledged = int(snapshot["acknowledged"])
        self._forgotten = int(snapshot["forgotten"])
        self._events = deque((int(number), str(text)) for number, text in snapshot["events"])
        self.size = sum(len(text) for _, text in self._events)
