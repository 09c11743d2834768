"""One source for each channel of an input."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import InputGap
from streamer.audio.decode import open_decoder
from streamer.audio.files import full_scale
from streamer.audio.formats import PcmDecoder
from streamer.audio.sources.base import BaseSource, InputFormat, Item, settled
from streamer.audio.sources.file import FileSource
from streamer.errors import ConfigurationError

Planar = NDArray[np.float32]


def split_channels(
    source: str | os.PathLike[str] | BaseSource, channels: int | None = None, *, buffer_s: float = 30.0
) -> list[BaseSource]:
    """A source for each channel, to be opened and read independently of each other, all on the same clock.

    source: a path, a FileSource of a path (the file is then read once for each channel), or any other unopened source,
        which the new sources then own.
    channels: the number of channels, if the input does not say it (a microphone whose `channels` was not given).
    buffer_s: how far, in seconds, the channels of a live input may be apart. A channel that falls further behind loses
        its oldest samples and reports a Gap "overflow".
    """
    if isinstance(source, str | os.PathLike):
        source = FileSource(source)
    if isinstance(source, FileSource):
        if not isinstance(source.file, str | os.PathLike):
            raise ConfigurationError("a file object cannot be read once for each channel; give its path.")
        with closing(open_decoder(source.file)) as decoder:
            return [source.with_channel(channel) for channel in range(decoder.channels)]
    channels = source.num_channels if channels is None else channels
    if channels is None or channels < 1:
        raise ConfigurationError(f"channels={channels}: say how many channels the input has, 1 or more.")
    tee = _Tee(source, channels, buffer_s)
    return list(tee.taps)


class _Tee:
    """Reads from one input when a tap is empty, and passes each block to all taps."""

    def __init__(self, source: BaseSource, channels: int, buffer_s: float) -> None:
        self.source = source
        self.buffer_s = buffer_s
        self.taps = [_Tap(self, channel) for channel in range(channels)]
        self.ended = False
        self.error: BaseException | None = None
        self._opening: asyncio.Future[InputFormat] | None = None
        self._pulling: asyncio.Future[None] | None = None
        self._decoder: PcmDecoder | None = None
        self._open_taps = 0

    async def enter(self) -> InputFormat:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self.source.open_input())
        given = await asyncio.shield(self._opening)
        if given.channels != len(self.taps):
            if self._open_taps == 0:
                await self.source.close_input()
            raise ConfigurationError(f"{given.name!r} has {given.channels} channels, not {len(self.taps)}.")
        if given.encoding is not None and self._decoder is None:
            self._decoder = PcmDecoder(given.encoding, given.channels)
        self._open_taps += 1
        return InputFormat(given.rate, given.channels, None, given.name)

    async def pull(self) -> None:
        """Read one more block for all taps. Several may call at once, and one may be cancelled: it is one read."""
        if self._pulling is None or self._pulling.done():
            self._pulling = asyncio.ensure_future(self._pull())
        await asyncio.shield(self._pulling)

    async def leave(self) -> None:
        self._open_taps -= 1
        if self._open_taps == 0:
            self.ended = True
            if self._pulling is not None:
                self._pulling.cancel()
                await settled(self._pulling)
            await self.source.close_input()

    async def _pull(self) -> None:
        try:
            item = self._decoded(await self.source.next_item())
        except Exception as error:
            self.error, self.ended = error, True
            return
        self.ended = item is None
        if item is None and self._decoder is not None and self._decoder.flush():
            item = InputGap(1, "partial sample")
        if item is not None:
            for tap in self.taps:
                tap.offer(item)

    def _decoded(self, item: Item | None) -> Planar | InputGap | None:
        if item is None or isinstance(item, InputGap):
            return item
        if isinstance(item, bytes | bytearray | memoryview):
            if self._decoder is None:
                raise ConfigurationError("bytes have no known encoding: give encoding= to the source.")
            return self._decoder.decode(item)
        block = full_scale(np.atleast_2d(item), "block")
        if block.shape[0] != len(self.taps):
            raise ConfigurationError(f"samples of shape {block.shape} do not fit {len(self.taps)} channels.")
        return block.copy()  # it waits, and the caller may reuse the array


class _Tap(BaseSource):
    def __init__(self, tee: _Tee, channel: int) -> None:
        super().__init__(channel)
        self._tee = tee
        self._waiting: deque[Planar | InputGap] = deque()
        self._frames = 0
        self._dropped = 0
        self._capacity: float = float("inf")
        self._left = False

    def offer(self, item: Planar | InputGap) -> None:
        if self._left:
            return
        self._waiting.append(item)
        self._frames += _num_frames(item)
        while self._frames > self._capacity and len(self._waiting) > 1:
            lost = _num_frames(self._waiting.popleft())
            self._frames -= lost
            self._dropped += lost

    async def open_input(self) -> InputFormat:
        given = await self._tee.enter()
        for tap in self._tee.taps:
            tap._capacity = self._tee.buffer_s * given.rate
        return given

    async def next_item(self) -> Item | None:
        while not self._waiting and not self._tee.ended:
            await self._tee.pull()
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            return InputGap(lost, "overflow")
        if self._waiting:
            item = self._waiting.popleft()
            self._frames -= _num_frames(item)
            return item
        if self._tee.error is not None:
            raise self._tee.error
        return None

    async def close_input(self) -> None:
        self._left = True
        self._waiting.clear()
        await self._tee.leave()


def _num_frames(item: Planar | InputGap) -> int:
    return item.num_samples if isinstance(item, InputGap) else item.shape[1]
