"""The interface of sinks, which receive the events of a session."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamer.speakers.events import Event
from streamer.speakers.timeline import Timeline

if TYPE_CHECKING:
    from streamer.engine.window import Step


@dataclass(slots=True)
class SessionView:
    """A sink's view of its session.

    name: of the session. timeline: the turns so far. channels: the names of a room's microphones; empty for one stream.
    enrolled: the number of speakers in the roster.
    """

    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    timeline: Timeline = field(default_factory=Timeline)
    channels: Sequence[str] = ()
    enrolled: int = 0


class Sink:
    """Receives every event, and every step after its events. A method that is not overridden does nothing."""

    def event(self, event: Event, session: SessionView) -> None: ...

    def step(self, step: Step, session: SessionView) -> None: ...

    def close(self, session: SessionView) -> None:
        """The session is over."""


class Sinks:
    """Several sinks, in order, and the time line that they see."""

    def __init__(self, sinks: Iterable[Sink], view: SessionView) -> None:
        self.sinks, self.view = list(sinks), view

    def tell(self, events: Iterable[Event]) -> None:
        """Add events to the time line, then pass each to every sink."""
        for event in events:
            self.view.timeline.hear(event)
            for sink in self.sinks:
                sink.event(event, self.view)

    def advance(self, sample: int, step: Step | None) -> None:
        """The session has processed everything before `sample`. step: the step that ended there; None after a gap."""
        self.view.timeline.advance(sample)
        if step is not None:
            for sink in self.sinks:
                sink.step(step, self.view)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close(self.view)
