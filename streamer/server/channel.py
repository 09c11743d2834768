"""One engine stream of a session: audio events in, the tracker's events out."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Chunk, Gap
from streamer.engine.stream import Stream
from streamer.engine.window import Step, Window
from streamer.protocol import Settings
from streamer.server.enrolling import Enrolling
from streamer.server.metrics import Metrics
from streamer.server.offload import Offload
from streamer.speakers.candidates import Asking
from streamer.speakers.events import Event, Notice
from streamer.speakers.profiles import Roster
from streamer.speakers.tracker import Tracker


@dataclass(slots=True)
class ChannelProgress:
    """The progress of a channel, in samples at 16 kHz, and its last measurements.

    waiting_since: since when a whole step has been waiting, on the server's clock; None if none waits.
    """

    written: int = 0
    heard: int = 0
    lag_s: float = 0.0
    level_db: float | None = None
    skipped: int = 0
    waiting_since: float | None = None

    def waited_s(self, now: float) -> float:
        return 0.0 if self.waiting_since is None else now - self.waiting_since


class Channel:
    """A stream, its tracker, and the callbacks for positions of it.

    emit: takes the events of a step, as JSON objects without `id` and `channel`.
    enrolling: the enrolment on this channel, if any; `coached` takes its reports.
    busy: the tracker is processing a result of the engine.
    tracking: held while the tracker works or is inspected, because it may run in another thread.
    """

    def __init__(
        self,
        index: int,
        stream: Stream,
        tracker: Tracker,
        settings: Settings,
        emit: Callable[[int, Sequence[dict[str, Any]]], None],
        coached: Callable[[dict[str, Any]], None],
        metrics: Metrics,
        offload: Offload,
        clock: Callable[[], float],
    ) -> None:
        self.index = index
        self.stream = stream
        self.tracker = tracker
        # A restored stream continues at its position.
        self.progress = ChannelProgress(stream.position, stream.position)
        # The number of samples that come next and were heard before.
        self._again = 0
        self._settings = settings
        self._step_samples = round(settings.step * SAMPLE_RATE)
        self._emit = emit
        self._coached = coached
        self._metrics = metrics
        self._offload = offload
        self._clock = clock
        self.tracking = asyncio.Lock()
        self.busy = False
        self.enrolling: Enrolling | None = None
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    async def hear(self, events: Sequence[AudioEvent]) -> None:
        """Pass audio to the engine; waits while the engine is busy."""
        for event in self._new(events):
            # Counted here, because the session's input starts again at 0 when a server takes it over.
            start = self.progress.written
            end = self.progress.written = start + event.end_sample - event.start_sample
            self._note_waiting(again=False)
            if isinstance(event, Chunk):
                if self.enrolling is not None:
                    self.enrolling.hear(Chunk(start, event.samples))
                await self.stream.write(event.samples)
            else:
                if self.enrolling is not None:
                    self.enrolling.hear(Gap(start, end, event.reason))
                self.stream.gap(end - start, event.reason)

    def notice(self, sample: int, code: str, message: str) -> None:
        """Report a notice about the sound."""
        self._emit(self.index, [Notice.at(sample, code, message).to_dict()])

    def hear_again(self, num_samples: int) -> None:
        """Audio comes next from this many samples before the stream's position."""
        self._again = num_samples

    def _new(self, events: Sequence[AudioEvent]) -> Iterator[AudioEvent]:
        """The events without the samples that were heard before."""
        for event in events:
            length = event.end_sample - event.start_sample
            known = min(self._again, length)
            self._again -= known
            start = event.start_sample + known
            if known == 0:
                yield event
            elif known < length and isinstance(event, Chunk):
                yield Chunk(start, event.samples[known:])
            elif known < length and isinstance(event, Gap):
                yield Gap(start, event.end_sample, event.reason)

    def when_looked_at(self, call: Callable[[], None]) -> None:
        """Call once, after every whole step of the audio written so far has been processed."""
        position = self.progress.written // self._step_samples * self._step_samples
        self._waiting.append((position, call))
        self._release()

    async def run(self) -> None:
        """Follow the stream to its end. Raises the engine's error for a stream that failed."""
        async for item in self.stream.steps():
            self.busy = True
            async with self.tracking:
                await self._take(item)
            self.busy = False
            self._note_waiting(again=True)
            self._release()
        async with self.tracking:
            self._emit(self.index, [event.to_dict() for event in await self._track(self.tracker.finishing())])
        while self._waiting:
            self._waiting.popleft()[1]()

    async def _take(self, item: Step | Gap) -> None:
        progress = self.progress
        if isinstance(item, Gap):
            found = await self._track(self.tracker.missing(item))
            progress.heard = item.end_sample
            return self._emit(self.index, [event.to_dict() for event in found])
        found = await self._track(self.tracker.hearing(item))
        progress.heard = item.end_sample
        progress.lag_s, progress.level_db = item.lag_s, item.level_db
        progress.skipped += item.skipped
        self._metrics.lag.observe(item.lag_s)
        self._metrics.skipped.inc(item.skipped)
        self._metrics.windows.inc(len(item.windows))
        if self.enrolling is not None and (report := self.enrolling.step(item)) is not None:
            self._coached(report)
        self._emit(self.index, [*self._windows(item), *(event.to_dict() for event in found)])

    async def _track(self, asking: Asking[list[Event]]) -> list[Event]:
        return await self._offload.track(len(self.tracker.roster), asking)

    async def listen_for(self, roster: Roster) -> None:
        """Change the roster."""
        async with self.tracking:
            people = max(len(roster), len(self.tracker.roster))
            events = await self._offload.run(people, lambda: self.tracker.set_roster(roster))
            self._emit(self.index, [event.to_dict() for event in events])

    async def snapshot(self) -> bytes:
        """The tracker's state. The caller holds `tracking`."""
        return await self._offload.run(len(self.tracker.roster), self.tracker.snapshot)

    def _note_waiting(self, *, again: bool) -> None:
        progress = self.progress
        if progress.written - progress.heard < self._step_samples:
            progress.waiting_since = None
        elif progress.waiting_since is None or again:
            progress.waiting_since = self._clock()

    def _release(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.progress.heard:
            self._waiting.popleft()[1]()

    def _windows(self, step: Step) -> list[dict[str, Any]]:
        if not self._settings.windows:
            return []
        return [_window_event(window, step, embedding=self._settings.embeddings) for window in step.windows]


def _window_event(window: Window, step: Step, *, embedding: bool) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": "window",
        "time": window.end_sample / SAMPLE_RATE,
        "sample": window.end_sample,
        "decided_sample": step.end_sample,
        "reason": "",
        "start_sample": window.start_sample,
        "end_sample": window.end_sample,
        "duration": window.duration_s,
        "speech": round(window.speech_s, 3),
        "partial": window.partial,
    }
    if embedding:
        event["embedding"] = base64.b64encode(window.embedding.astype("<f4").tobytes()).decode("ascii")
    return event
