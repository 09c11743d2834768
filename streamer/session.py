"""One listening session: a source's steps through a tracker to the sinks, with the roster kept in step with the store.

source -> engine stream -> Session (tracker, store, guests) -> sinks
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
from streamer.sinks.base import Sink
from streamer.speakers.events import Event, Notice, TurnEnd
from streamer.speakers.library import Speakers
from streamer.speakers.profiles import Exemplar, Roster
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.timeline import Timeline

#: How often the store is asked whether somebody was enrolled, renamed or removed.
WATCH_S = 0.5


class Session:
    """Who speaks in one stream. Without I/O except for the store.

    roster: the names to listen for; None for everybody enrolled, those who are enrolled meanwhile too.
    keep_guests: whether the voices of guests are kept in the store for a day, so that they can be named.
    clock: seconds, for how often the store is looked at.
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
        self.name = uuid.uuid4().hex[:12]
        self._roster = roster
        self._changes = speakers.store.changes()
        speakers.tell_of_others()
        self.tracker = speakers.tracker(roster, settings)
        self.timeline = Timeline(keep_s=3600)
        self.sinks = list(sinks)
        self._keep_guests = keep_guests
        self._clock = clock
        self._looked = clock()

    def hear(self, result: Step | Gap) -> list[Event]:
        """One step or gap of the engine's: what it decided, which the sinks have been told."""
        events = self._watch_store()
        if isinstance(result, Gap):
            events += self.tracker.gap(result)
        else:
            events += self.tracker.update(result)
        self._tell(events)
        self.timeline.advance(self.tracker.heard_sample)
        if isinstance(result, Step):
            for sink in self.sinks:
                sink.step(result, self)
        return events

    def note(self, sample: int, message: str, code: str = "inverted_channels") -> None:
        """Something was found of the sound itself, up to `sample`: the sinks are told. See `BaseSource.on_notice`."""
        self._tell([Notice(sample=sample, decided_sample=sample, code=code, message=message)])

    def finish(self) -> list[Event]:
        """The stream is over: the last events. Closes the sinks."""
        events = self._last_events()
        self._tell(events)
        for sink in self.sinks:
            sink.close(self)
        return events

    async def run(self, stream: Stream, stop: asyncio.Event | None = None) -> None:
        """Hear a stream to its end, or until `stop` is set."""
        reading = asyncio.ensure_future(self._read(stream))
        await self._until(reading, stop)
        if not reading.cancelled():
            reading.result()

    async def _until(self, reading: asyncio.Future[Any], stop: asyncio.Event | None) -> None:
        """Wait for `reading` to end, or until `stop` is set; cancel what still goes on, and finish."""
        stopping = asyncio.ensure_future(stop.wait()) if stop is not None else None
        waiting = [task for task in (reading, stopping) if task is not None]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            self.finish()

    async def _read(self, stream: Stream) -> None:
        async for result in stream.steps():
            self.hear(result)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self.timeline.hear(event)
            if isinstance(event, TurnEnd):
                self._remember(event.speaker)
            for sink in self.sinks:
                sink.event(event, self)

    def _remember(self, speaker: str) -> None:
        slot = self.tracker.candidates.guest_slot(speaker)
        if slot is not None and self._keep_guests:
            guests = self.tracker.guests
            heard = Exemplar(
                guests.centroids[slot].copy(), float(guests.speech_s[slot]), source=f"guest of {self.name}"
            )
            self.speakers.store.remember_guest(self.name, speaker, self.speakers.model.fingerprint, heard)

    def _watch_store(self) -> list[Event]:
        """Take over what other processes changed, within a second."""
        if self._clock() - self._looked < WATCH_S:
            return []
        self._looked = self._clock()
        changes = self.speakers.store.changes()
        if changes == self._changes:
            return []
        self._changes = changes
        wanted = self._roster
        if wanted is not None:
            wanted = [there for name in wanted if (there := self.speakers.store.spelled(name)) is not None]
        return self._listen_for(self.speakers.roster(self._under_this_model(wanted)))

    def _under_this_model(self, names: Sequence[str] | None) -> Sequence[str] | None:
        roster = self.speakers.roster()
        return names if names is None else [name for name in names if roster.index(name) is not None]

    def _listen_for(self, roster: Roster) -> list[Event]:
        return self.tracker.set_roster(roster)

    def _last_events(self) -> list[Event]:
        return self.tracker.finish()
