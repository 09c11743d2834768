"""One meeting: a stream for each microphone through one engine, a room, and the sinks.

>>> async with Engine() as engine:                                                  # doctest: +SKIP
...     meeting = Meeting(Speakers(engine.model), channels=4, sinks=[...])
...     await meeting.run(engine, split_channels(MicrophoneSource(channels=4)))
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack

from streamer.audio.chunks import SAMPLE_RATE, Gap, Source
from streamer.engine.engine import Engine
from streamer.engine.stream import Policy, Stream
from streamer.engine.window import Step
from streamer.errors import ConfigurationError, StreamerError
from streamer.meeting.crosstalk import CrossTalkSettings
from streamer.meeting.room import RoomTracker
from streamer.session import BaseSession, until
from streamer.sinks.base import SessionView, Sink, Sinks
from streamer.speakers.events import Event
from streamer.speakers.feed import RosterFeed
from streamer.speakers.library import Speakers
from streamer.speakers.settings import DURATIONS, STEP_S, TrackerSettings

#: How long the room waits for a live microphone that is behind the others, and how far one channel of a recording may
#: be read ahead of the others, in seconds of audio.
HOLD_S = 3.0


class Meeting(BaseSession):
    """The session of a room with several microphones. Each turn has the channel where it is best heard.

    channels: the number of microphones, or their names. live: process audio as time passes; the room then goes on
        without a microphone that falls behind, and skips steps if the machine is too slow. gains_db, crosstalk: see
        `CrossTalk`. The rest: see `streamer.session.Session`.
    """

    def __init__(
        self,
        speakers: Speakers,
        channels: int | Sequence[str],
        *,
        live: bool = True,
        roster: Sequence[str] | None = None,
        settings: TrackerSettings | None = None,
        crosstalk: CrossTalkSettings | None = None,
        gains_db: Sequence[float] | None = None,
        keep_guests: bool = False,
        sinks: Iterable[Sink] = (),
        step_s: float = STEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        feed = RosterFeed(speakers, roster, clock)
        names = [f"microphone {number + 1}" for number in range(channels)] if isinstance(channels, int) else channels
        self.channels = list(names)
        trackers = [speakers.tracker(roster, settings)]
        for _ in self.channels[1:]:
            trackers.append(speakers.tracker(roster, settings, trackers))
        self.room = RoomTracker(
            trackers,
            round(step_s * SAMPLE_RATE),
            speakers.backend,
            crosstalk=crosstalk,
            gains_db=gains_db,
            hold_s=HOLD_S if live else None,
        )
        self.live, self.step_s = live, step_s
        # The time line keeps the whole meeting, for the minutes. The trackers of a room share their guests.
        view = SessionView(channels=self.channels, enrolled=len(trackers[0].roster))
        super().__init__(speakers, feed, self.room, trackers[0], Sinks(sinks, view), keep_guests=keep_guests)
        #: Microphones that failed, with the error.
        self.failures: dict[int, StreamerError] = {}

    def hear_channel(self, channel: int, result: Step | Gap) -> list[Event]:
        """Process one step or gap of one microphone. Returns the new events, after the sinks have received them."""
        events = self._look() + self.room.hear(channel, result)
        return self._heard(events, None if isinstance(result, Gap) else result)

    def end_channel(self, channel: int) -> list[Event]:
        """This microphone has ended; the others continue."""
        return self._heard(self.room.end(channel), None)

    async def run_room(self, engine: Engine, sources: Sequence[Source], stop: asyncio.Event | None = None) -> None:
        """Process all microphones to their ends, or until `stop` is set.

        A microphone that fails is left out (see `failures`); when all have failed, the first failure is raised.
        """
        if len(sources) != len(self.channels):
            raise ConfigurationError(f"{len(sources)} sources for {len(self.channels)} channels; give one for each.")
        policy: Policy = "latest" if self.live else "every"
        moved = asyncio.Condition()
        async with AsyncExitStack() as stack:
            streams = []
            for source in sources:
                stream = await stack.enter_async_context(engine.open(DURATIONS, self.step_s, policy=policy))
                stream.feed(source)
                streams.append(stream)
            tasks = [asyncio.ensure_future(self._follow(n, stream, moved)) for n, stream in enumerate(streams)]
            await until(asyncio.gather(*tasks), stop, self.finish)
        for following in tasks:
            if not following.cancelled():
                following.result()
        if len(self.failures) == len(self.channels):
            raise self.failures[min(self.failures)]

    async def _follow(self, channel: int, stream: Stream, moved: asyncio.Condition) -> None:
        try:
            async for result in stream.steps():
                self.hear_channel(channel, result)
                async with moved:
                    moved.notify_all()
                    # Recordings are read in step with each other, so that waiting results are bounded.
                    if not self.live:
                        await moved.wait_for(lambda: self.room.aligner.ahead(channel) <= HOLD_S * SAMPLE_RATE)
        except StreamerError as error:
            self.failures[channel] = error
        async with moved:
            self.end_channel(channel)
            moved.notify_all()
