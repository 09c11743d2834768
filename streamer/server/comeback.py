"""What a session and its client agree on when the client comes back, to this server or to another that goes on with it:
which events it has, and from where on its audio comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamer import protocol
from streamer.audio.chunks import InputGap
from streamer.protocol import Refusal
from streamer.protocol.framing import Framing
from streamer.server.replay import Replay


class Comeback:
    """The two ends of a session, each as far as the other knows it.

    ends_at: where the audio ends whose `end` had come before this server took the session over, since its streams were
        not told of it.
    """

    def __init__(self, framing: Framing, replay: Replay) -> None:
        self.ends_at: int | None = None
        self._framing = framing
        self._replay = replay
        # Restored from an earlier state: up to which event the client has what is decided a second time.
        self._restored = False
        self._had = 0

    def restored(self, *, ended: bool) -> None:
        """Framing and replay are those of an earlier state. ended: the client had said `end`."""
        self._restored = True
        self.ends_at = self._framing.position if ended else None

    def rejoin(self, start: Mapping[str, Any], away_s: float, *, ending: bool) -> list[InputGap]:
        """What came over the connection before, by the client's `start`, and what of it is missing for good."""
        last_event = protocol.whole(start.get("last_event", 0))
        self._replay.acknowledge(min(last_event, self._replay.last))
        gaps: list[InputGap] = []
        if not ending:
            earliest = start.get("position")
            if earliest is None and self.ends_at is not None:
                earliest = self.ends_at  # it can't be sent again, and nothing else will come
            gaps = self._framing.rejoin(None if earliest is None else protocol.whole(earliest), away_s)
        if self._restored and last_event > self._replay.last:
            # What is heard again is decided again, under the same numbers; across a gap it would be something else.
            if gaps:
                self._replay.go_on_after(last_event)
            else:
                self._had = last_event
        self._restored = False
        return gaps

    def ended(self) -> bool:
        """The audio is here whose end another server was told of; said once."""
        if self.ends_at is None or self._framing.position < self.ends_at:
            return False
        self.ends_at = None
        return True

    def acknowledge(self, event: int) -> None:
        """The client has every event up to this one. Raises Refusal where there is none such."""
        if event > max(self._replay.last, self._had):
            raise Refusal(
                "invalid_message",
                f"Event {event} was acknowledged; the last one sent is {self._replay.last}.",
                "Acknowledge the `id` of an event that arrived.",
            )
        self._replay.acknowledge(event)

    def unknown(self, texts: Sequence[str]) -> Sequence[str]:
        """Of the events that were added last, those that the client has not had before."""
        if self._replay.last - len(texts) >= self._had:
            return texts
        first = self._replay.last - len(texts) + 1
        self._replay.acknowledge(self._had)
        return [text for number, text in enumerate(texts, first) if number > self._had]
