"""One listening session: the steps of a stream through a tracker to the sinks.

source -> engine stream -> Session (tracker, roster feed) -> sinks
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streamer.audio.chunks import Gap
from streamer.engine.stream import Stream
from streamer.engine.window import Step
from streamer.sinks.base import SessionView, Sink, Sinks
from streamer.speakers.events import Event, Notice
from streamer.speakers.feed import RosterFeed, keep_guests
from streamer.speakers.library import Speakers
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.timeline import Timeline


class Session:
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
        self.speakers = speakers
        self._feed = RosterFeed(speakers, roster, clock)
        self.tracker = speakers.tracker(roster, settings)
        self.view = SessionView(uuid.uuid4().hex[:12], Timeline(keep_s=3600), enrolled=len(self.tracker.roster))
        self._sinks = Sinks(sinks, self.view)
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

    def hear(self, result: Step | Gap) -> list[Event]:
        """Process one step or gap. Returns the new events, after the sinks have received them."""
        events: list[Event] = []
        if (roster := self._feed.poll()) is not None:
            events += self.tracker.set_roster(roster)
            self.view.enrolled = len(roster)
        step = None if isinstance(result, Gap) else result
        events += self.tracker.gap(result) if isinstance(result, Gap) else self.tracker.update(result)
        self._tell(events)
        self._sinks.advance(self.tracker.heard_sample, step)
        return events

    def note(self, sample: int, message: str, code: str = "inverted_channels") -> None:
        """Send a notice about the sound, up to `sample`, to the sinks. See `BaseSource.on_notice`."""
        self._tell([Notice.at(sample, code, message)])

    def finish(self) -> list[Event]:
        """End the session. Returns the last events, and closes the sinks."""
        events = self.tracker.finish()
        self._tell(events)
        self._sinks.close()
        return events

    async def run(self, stream: Stream, stop: asyncio.Event | None = None) -> None:
        """Process a stream until it ends, or until `stop` is set."""
        reading = asyncio.ensure_future(self._read(stream))
        await until(reading, stop, self.finish)
        if not reading.cancelled():
            reading.result()

    async def _read(self, stream: Stream) -> None:
        async for result in stream.steps():
            self.hear(result)

    def _tell(self, events: list[Event]) -> None:
        if self._keep_guests:
            keep_guests(self.speakers, self.tracker, events, self.name)
        self._sinks.tell(events)


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
