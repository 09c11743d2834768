"""A session's sound: audio goes to all of its channels, and each channel is followed to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from streamer.audio.chunks import AudioEvent
from streamer.protocol import Refusal
from streamer.server.channel import Channel
from streamer.server.intake import Intake
from streamer.speakers.profiles import Roster


class SessionSound:
    """The channels of one session, with the decoder and resamplers for them.

    channels: the owner may empty the list when the session is over; later audio is then ignored.
    """

    def __init__(self, intake: Intake, channels: list[Channel]) -> None:
        self._intake = intake
        self._channels = channels

    # Every wait here is for a busy engine.

    async def hear(self, data: bytes, num_samples: int) -> None:
        """Take audio. Raises Refusal if it is invalid; the clock advances anyway."""
        try:
            events = self._intake.audio(data, num_samples)
        except Refusal:
            await self.gap(num_samples, "bad audio")
            raise
        for channel, sample, message in self._intake.notices():
            self._channels[channel].notice(sample, "inverted_channels", message)
        await self._give(events)

    async def gap(self, num_samples: int, reason: str) -> None:
        """Take missing samples."""
        await self._give(self._intake.gap(num_samples, reason))

    async def finish(self) -> None:
        """End the audio."""
        await self._give(self._intake.finish())
        for channel in self._channels:
            await channel.stream.end()

    async def _give(self, events: Sequence[Sequence[AudioEvent]]) -> None:
        for channel, of_channel in zip(self._channels, events, strict=True):
            await channel.hear(of_channel)

    def when_looked_at(self, call: Callable[[int], None]) -> None:
        """Call once, after every channel has processed its input, with the position that all have reached."""
        left = set(range(len(self._channels)))

        def looked_at(index: int) -> None:
            left.discard(index)
            if not left:
                call(min(channel.progress.heard for channel in self._channels))

        for channel in self._channels:
            channel.when_looked_at(lambda index=channel.index: looked_at(index))  # type: ignore[misc]

    @property
    def late(self) -> bool:
        """Whether some input is not yet processed."""
        return any(channel.progress.waiting_since is not None for channel in self._channels)

    async def listen_for(self, roster: Roster) -> None:
        """Change the roster."""
        for channel in list(self._channels):
            await channel.listen_for(roster)

    async def follow(self) -> None:
        """Follow all channels to their end. Raises the engine's error for a stream that failed."""
        async with AsyncExitStack() as streams:
            for channel in self._channels:
                await streams.enter_async_context(channel.stream)
            await asyncio.gather(*(channel.run() for channel in self._channels))
