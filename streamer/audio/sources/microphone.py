"""A microphone as a source, through PortAudio: losses are reported, and a lost device may come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import Gap, InputGap
from streamer.audio.condition import Channel
from streamer.audio.formats import check_channels
from streamer.audio.resample import check_rate
from streamer.audio.ring import RingBuffer, RingStatistics
from streamer.audio.sources.base import BaseSource, InputFormat, Item, settled
from streamer.audio.sources.portaudio import (
    InputDevice,
    InputStream,
    PortAudio,
    find_device,
    list_devices,
    load_portaudio,
)
from streamer.errors import ConfigurationError, MicrophoneUnavailable

__all__ = ["InputDevice", "MicrophoneSource", "list_devices"]

#: How often the device is checked, and how long it may deliver no samples (silence is samples) before it counts as
#: lost.
POLL_S = 0.25
STALL_S = 2.0
RETRY_S = 1.0

#: A larger loss at once is impossible: such a time stamp is wrong.
MAX_OVERFLOW_S = 10.0

#: Open streams of this process. PortAudio finds new devices only after a new initialisation, which ends all streams.
_open_streams: set[int] = set()


class MicrophoneSource(BaseSource):
    """Live audio from an input device, until the source is closed.

    device: an index or a part of a name (see `list_devices`); None is the system's default.
    rate: Hz, any rate of the device; None is its default. channels: None is the first two, or the only one.
    channel: "downmix" (the mean) or the index of one; `split_channels` makes one source of each.
    buffer_s: how much audio waits for a slow reader; beyond it, the oldest is dropped and a Gap "overflow" reported.
    reconnect: a lost device gives Gaps "device lost" as time passes, until it is back. If False, and for
        a device that is missing at the start, MicrophoneUnavailable is raised.
    portaudio: a module like sounddevice. clock, sleep: the clock that detects and times a lost device, seconds.

    Samples that the system lost are a Gap "input overflow", with the length from PortAudio's time stamps, or of
    one block if there are none.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        rate: int | None = None,
        channels: int | None = None,
        channel: Channel = "downmix",
        buffer_s: float = 10.0,
        reconnect: bool = True,
        portaudio: PortAudio | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(channel)
        if not buffer_s > 0:
            raise ConfigurationError(f"buffer_s={buffer_s} must be more than 0 seconds.")
        self._wanted = device
        self._rate = None if rate is None else check_rate(rate)
        self._channels = None if channels is None else check_channels(channels)
        self._buffer_s = buffer_s
        self._reconnect = reconnect
        self._portaudio = portaudio
        self._clock, self._sleep = clock, sleep
        self._stream: InputStream | None = None
        self._watcher: asyncio.Future[None] | None = None
        # The time of the input's frame 0, set while a device is lost, from which the audio thread catches up.
        self._lost_zero: float | None = None
        # The time of the next block by PortAudio's time stamps; 0 if they are missing.
        self._next_adc = 0.0

    @property
    def num_channels(self) -> int | None:
        return self._channels

    @property
    def statistics(self) -> RingStatistics:
        """Statistics of the buffer between the audio thread and the reader, in frames at the device's rate."""
        return self._ring.statistics

    async def open_input(self) -> InputFormat:
        self._pa = self._portaudio or load_portaudio()
        device = await asyncio.to_thread(find_device, self._pa, self._wanted)
        rate = self._rate or device.rate
        channels = self._channels or min(2, device.channels)
        self._given = InputFormat(rate, channels, None, device.name)
        self._ring = RingBuffer(max(1, round(self._buffer_s * rate)), channels=channels)
        self._lost_zero = None
        await self._start(device)
        self._watcher = asyncio.ensure_future(self._watch())
        return self._given

    async def next_item(self) -> Item | None:
        event = await self._ring.read()
        if event is None:
            return None
        if isinstance(event, Gap):
            return InputGap(event.end_sample - event.start_sample, event.reason)
        return event.samples.T

    async def close_input(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await settled(self._watcher)
            self._watcher = None
        await asyncio.to_thread(self._stop)
        self._ring.abandon()

    def _on_audio(self, block: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        """Called in PortAudio's thread, so it only copies."""
        if self._lost_zero is not None:
            self._mark_lost(self._lost_zero, frames)
            self._lost_zero = None
        adc = float(times.inputBufferAdcTime)
        if status.input_overflow:
            lost = round((adc - self._next_adc) * self._given.rate) if adc > 0 and self._next_adc > 0 else 0
            plausible = 0 < lost <= MAX_OVERFLOW_S * self._given.rate
            self._ring.mark_gap(lost if plausible else frames, "input overflow")
        self._next_adc = adc + frames / self._given.rate
        self._ring.write_from_thread(block)

    async def _start(self, device: InputDevice) -> None:
        starting = asyncio.ensure_future(asyncio.to_thread(self._open_stream, device))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:  # the thread cannot be stopped: close the stream that it opens
            await settled(starting)
            self._stop()
            raise

    def _open_stream(self, device: InputDevice) -> None:
        given = self._given
        self._next_adc = 0.0
        try:
            stream = self._pa.InputStream(
                device=device.index,
                samplerate=given.rate,
                channels=given.channels,
                dtype="float32",
                callback=self._on_audio,
            )
            self._stream = stream
            _open_streams.add(id(self))
            stream.start()
        except (ValueError, self._pa.PortAudioError) as error:
            self._stop()
            raise MicrophoneUnavailable(
                f"{device.name!r} cannot be opened at {given.rate} Hz with {given.channels} channel(s): {error}. "
                f"It offers {device.rate} Hz and up to {device.channels} channel(s)."
            ) from error

    def _stop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)
            _open_streams.discard(id(self))

    async def _watch(self) -> None:
        try:
            await self._look_after()
        except Exception as error:  # pass it to the reader, which is waiting
            self._ring.close(error)

    async def _look_after(self) -> None:
        """Detect a lost device: the stream says so, or no samples arrive."""
        heard, progress = 0, self._clock()
        zero = progress  # the time of the stream's sample 0, estimated from the samples so far
        while True:
            await self._sleep(POLL_S)
            now = self._clock()
            if self._ring.end_sample > heard:
                heard, progress = self._ring.end_sample, now
                zero = now - heard / self._given.rate
            if self._stream is not None and self._stream.active and now - progress < STALL_S:
                continue
            await asyncio.to_thread(self._stop)
            if not self._reconnect:
                raise MicrophoneUnavailable(f"{self._given.name!r} was lost; plug it in and start again.")
            await self._find_again(zero)
            heard, progress = self._ring.end_sample, self._clock()

    async def _find_again(self, zero: float) -> None:
        """Advance the clock over the lost time, until the device is back."""
        while True:
            self._lost_zero = None
            self._mark_lost(zero)
            try:
                device = await asyncio.to_thread(self._look_again)
                self._lost_zero = zero
                await self._start(device)
            except (MicrophoneUnavailable, self._pa.PortAudioError):
                await self._sleep(RETRY_S)
            else:
                return

    def _mark_lost(self, zero: float, frames_after: int = 0) -> None:
        behind = round((self._clock() - zero) * self._given.rate) - frames_after - self._ring.end_sample
        if behind > 0:
            self._ring.mark_gap(behind, "device lost")

    def _look_again(self) -> InputDevice:
        if not _open_streams:
            self._pa._terminate()
            self._pa._initialize()
        if self._wanted is None or isinstance(self._wanted, str):
            return find_device(self._pa, self._wanted)
        # Indices change when devices come and go, and so does the address that ALSA adds to the name.
        return find_device(self._pa, self._given.name.split(" (hw:")[0])
