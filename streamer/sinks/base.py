"""Where a session's events go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.speakers.events import Event

if TYPE_CHECKING:
    from streamer.engine.window import Step
    from streamer.session import Session


class Sink:
    """Told of every event, and of every step after its events. All methods may be left as they are."""

    def event(self, event: Event, session: Session) -> None: ...

    def step(self, step: Step, session: Session) -> None: ...

    def close(self, session: Session) -> None:
        """The session is over."""
