"""One listening session: the steps of a stream through a tracker to the sinks.

source -> engine stream -> Session (tracker, roster feed) -> sinks
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from streamer.audio.chunks import Gap
from streamer.engine.stream import Stream
from streamer.engine.window import Step
from streamer.sinks.base import SessionView, Sink, Sinks
from streamer.speakers.events import Event, Notice
from streamer.speakers.feed import RosterFeed, keep_guests
from streamer.speakers.library import Speakers
from streamer.speakers.profiles import Roster
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.timeline import Timeline
from streamer.speakers.tracker import Tracker


class Follower(Protocol):
    """A tracker, or the trackers of a room."""

    @property
    def heard_sample(self) -> int: ...

    def set_roster(self, roster: Roster) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


class BaseSession:
    """The common part of sessions: a roster that follows the store, a view of the session, and sinks.

    follower: decides who speaks. tracker: has the guests. feed: made before both, so that no change is missed.
    """

    def __init__(
        self,
        speakers: Speakers,
        feed: RosterFeed,
        follower: Follower,
        tracker: Tracker,
        sinks: Sinks,
        *,
        keep_guests: bool,
    ) -> None:
        self.speakers = speakers
        self.view = sinks.view
        self._feed, self._follower, self._tracker, self._sinks = feed, follower, tracker, sinks
        self._keep_guests = keep_guests

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def timeline(self) -> Timeline:
        return self.view.timeline

    @property
    def sinks(self) -> list[Sink]:
        return self._sinks.sinks

    def note(self, sample: int, message: str, code: str = "inverted_channels") -> None:
        """Send a notice about the sound, up to `sample`, to the sinks. See `BaseSource.on_notice`."""
        self._tell([Notice.at(sample, code, message)])

    def finish(self) -> list[Event]:
        """End the session. Returns the last events, and closes the sinks."""
        events = self._follower.finish()
        self._tell(events)
        self._sinks.close()
        return events

    def _look(self) -> list[Event]:
        """Follow the store, if it is time to. Returns the new events."""
        if (roster := self._feed.poll()) is None:
            return []
        self.view.enrolled = len(roster)
        return self._follower.set_roster(roster)

    def _heard(self, events: list[Event], step: Step | None) -> list[Event]:
        """Returns the events of one result, after the sinks have received them."""
        self._tell(events)
        self._sinks.advance(self._follower.heard_sample, step)
        return events

    def _tell(self, events: list[Event]) -> None:
        if self._keep_guests:
            keep_guests(self.speakers, self._tracker, events, self.name)
        self._sinks.tell(events)


class Session(BaseSession):
    """Decides who speaks in one stream.

    Reads and writes the speaker store: it loads changes of the roster, and keeps guests. `hear` and `finish` do no
    other I/O than that of the store and the sinks.

    roster: the names to listen for; None for everybody enrolled, including people enrolled later.
    keep_guests: keep the voice prints of guests in the store for a day, so that they can be named.
    clock: seconds; determines when to check the store for changes.
    """

    def __init__(
        self,
        speakers: Speakers,
        *,
        roster: Sequence[str] | None = None,
        settings: TrackerSettings | None = None,
        keep_guests: bool = True,
        sinks: Iterable[Sink] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        feed = RosterFeed(speakers, roster, clock)
        self.tracker = speakers.tracker(roster, settings)
        view = SessionView(timeline=Timeline(keep_s=3600), enrolled=len(self.tracker.roster))
        super().__init__(speakers, feed, self.tracker, self.tracker, Sinks(sinks, view), keep_guests=keep_guests)

    def hear(self, result: Step | Gap) -> list[Event]:
        """Process one step or gap. Returns the new events, after the sinks have received them."""
        events = self._look()
        if isinstance(result, Gap):
            return self._heard(events + self.tracker.gap(result), None)
        return self._heard(events + self.tracker.update(result), result)

    async def run(self, stream: Stream, stop: asyncio.Event | None = None) -> None:
        """Process a stream until it ends, or until `stop` is set."""
        reading = asyncio.ensure_future(self._read(stream))
        await until(reading, stop, self.finish)
        if not reading.cancelled():
            reading.result()

    async def _read(self, stream: Stream) -> None:
        async for result in stream.steps():
            self.hear(result)


async def until(reading: asyncio.Future[Any], stop: asyncio.Event | None, finish: Callable[[], object]) -> None:
    """Wait for `reading` to end, or for `stop` to be set. Cancels what still runs, then calls `finish`."""
    stopping = asyncio.ensure_future(stop.wait()) if stop is not None else None
    waiting = [task for task in (reading, stopping) if task is not None]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        finish()
