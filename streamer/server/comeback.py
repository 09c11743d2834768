"""What a session and its client agree on when the client resumes, at this server or at another one: the events that the
client has, and the position from which it sends audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamer import protocol
from streamer.audio.chunks import InputGap
from streamer.protocol import Refusal
from streamer.protocol.framing import Framing
from streamer.server.replay import Replay


class Comeback:
    """The state of a session that both sides must agree on.

    ends_at: the end of the audio, if `end` came before this server took the session over, because its streams have not
        seen it.
    """

    def __init__(self, framing: Framing, replay: Replay) -> None:
        self.ends_at: int | None = None
        self._framing = framing
        self._replay = replay
        # After a restore: the last event that the client has, among those that are decided a second time.
        self._restored = False
        self._had = 0

    def restored(self, *, ended: bool) -> None:
        """Framing and replay were restored from an earlier state. ended: the client had sent `end`."""
        self._restored = True
        self.ends_at = self._framing.position if ended else None

    def rejoin(self, start: Mapping[str, Any], away_s: float, *, ending: bool) -> list[InputGap]:
        """Resume by the client's `start`; returns the audio that is missing for good."""
        last_event = protocol.whole(start.get("last_event", 0))
        self._replay.acknowledge(min(last_event, self._replay.last))
        gaps: list[InputGap] = []
        if not ending:
            earliest = start.get("position")
            if earliest is None and self.ends_at is not None:
                earliest = self.ends_at  # it can't be sent again, and nothing else will come
            gaps = self._framing.rejoin(None if earliest is None else protocol.whole(earliest), away_s)
        if self._restored and last_event > self._replay.last:
            # Repeated audio gives the same events with the same numbers; across a gap it would give other events.
            if gaps:
                self._replay.go_on_after(last_event)
            else:
                self._had = last_event
        self._restored = False
        return gaps

    def ended(self) -> bool:
        """Whether the audio has reached the `end` that another server received; true once."""
        if self.ends_at is None or self._framing.position < self.ends_at:
            return False
        self.ends_at = None
        return True

    def acknowledge(self, event: int) -> None:
        """The client has every event up to this one. Raises Refusal if there is no such event."""
        if event > max(self._replay.last, self._had):
            raise Refusal(
                "invalid_message",
                f"Event {event} was acknowledged; the last one sent is {self._replay.last}.",
                "Acknowledge the `id` of an event that arrived.",
            )
        self._replay.acknowledge(event)

    def unknown(self, texts: Sequence[str]) -> Sequence[str]:
        """The latest events without those that the client already has."""
        if self._replay.last - len(texts) >= self._had:
            return texts
        first = self._replay.last - len(texts) + 1
        self._replay.acknowledge(self._had)
        return [text for number, text in enumerate(texts, first) if number > self._had]
