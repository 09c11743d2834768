"""A recording as a source: as fast as it can be read, or in real time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import numpy as np

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Chunk, InputGap
from streamer.audio.condition import Channel
from streamer.audio.decode import Decoder, PathOrFile, open_decoder
from streamer.audio.parts.raw import Block
from streamer.audio.sources.base import BaseSource, InputFormat, Item, settled
from streamer.errors import AudioEmpty, ConfigurationError

#: Seconds to read at a time: short enough for a steady pace, or long enough for speed.
PACED_BLOCK_S = 0.1
PACED_SAMPLES = round(PACED_BLOCK_S * SAMPLE_RATE)
UNPACED_BLOCK_S = 1.0


class FileSource(BaseSource):
    """An audio file, read block by block in a thread. Audio that is missing by its time stamps is a gap.

    file: a path or a binary file object; the formats of `streamer.read_audio`.
    realtime: deliver each event at the time of its last sample, counted from the first request.
    speed: the same, this many times as fast. Without either, the file is read as fast as possible.
    channel: "downmix" (the mean) or the index of one; `split_channels` makes one source of each.
    clock, sleep: the clock of the pace, in seconds.

    Opening raises the errors of `read_audio`; later damage is raised when it is reached.
    """

    patient = True

    def __init__(
        self,
        file: PathOrFile,
        *,
        realtime: bool = False,
        speed: float | None = None,
        channel: Channel = "downmix",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(channel)
        if realtime and speed is not None:
            raise ConfigurationError(f"realtime=True and speed={speed} contradict each other: realtime is speed=1.")
        if speed is not None and not (math.isfinite(speed) and speed > 0):
            raise ConfigurationError(f"speed={speed} must be a positive number; 1 is real time.")
        self.file = file
        self.speed = 1.0 if realtime else speed
        self._clock, self._sleep = clock, sleep
        self._decoder: Decoder | None = None
        self._reading: asyncio.Future[Block | InputGap] | None = None
        self._began: float | None = None
        self._empty = True

    def with_channel(self, channel: int) -> FileSource:
        """A source of the same file at the same pace, with one channel."""
        return FileSource(self.file, speed=self.speed, channel=channel, clock=self._clock, sleep=self._sleep)

    async def open_input(self) -> InputFormat:
        opening = asyncio.ensure_future(asyncio.to_thread(open_decoder, self.file))
        try:
            decoder = await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread cannot be stopped: close the file that it opens
            await settled(opening)
            if not opening.cancelled() and opening.exception() is None:
                opening.result().close()
            raise
        self._decoder, self._began, self._empty = decoder, None, True
        return InputFormat(decoder.sample_rate, decoder.channels, None, decoder.name)

    async def next_item(self) -> Item | None:
        decoder = self._decoder
        if decoder is None:
            return None
        frames = round(decoder.sample_rate * (UNPACED_BLOCK_S if self.speed is None else PACED_BLOCK_S))
        self._reading = asyncio.ensure_future(asyncio.to_thread(decoder.read, frames))
        block = await asyncio.shield(self._reading)
        if isinstance(block, InputGap) or block.shape[1]:
            self._empty = False
            return block
        if self._empty:
            raise AudioEmpty(f"{decoder.name!r} has no samples (0.00 s of audio).")
        return None

    async def close_input(self) -> None:
        # A decoder must not be closed while the thread reads from it.
        await settled(self._reading)
        decoder, self._decoder, self._reading = self._decoder, None, None
        if decoder is not None:
            decoder.close()

    def paced(self, events: list[AudioEvent]) -> list[AudioEvent]:
        """Cut events into steps of the pace: several channels are held back until cancellation is decided."""
        if self.speed is None:
            return events
        cut: list[AudioEvent] = []
        for event in events:
            if not isinstance(event, Chunk):
                cut.append(event)
                continue
            start = event.start_sample
            # A step at the file's rate varies by a sample at 16 kHz: do not make a separate step of that sample.
            for samples in np.array_split(event.samples, max(1, round(len(event.samples) / PACED_SAMPLES))):
                cut.append(Chunk(start, samples))
                start += len(samples)
        return cut

    async def pace(self, event: AudioEvent) -> None:
        if self.speed is None:
            return
        if self._began is None:
            self._began = self._clock()
        due = self._began + event.end_sample / SAMPLE_RATE / self.speed
        while (wait := due - self._clock()) > 0:
            await self._sleep(wait)
