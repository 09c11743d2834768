"""From whatever a source delivers to what the engine takes: contiguous events, mono, 16 kHz, float32, finite.

The same for all sources and for the server, so that a microphone, a file and a socket mean the same samples.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE, AudioEvent, Chunk, Gap, Samples
from streamer.audio.downmix import Downmix
from streamer.audio.files import Audio, checked, full_scale
from streamer.audio.formats import ENCODINGS, Encoding, PcmDecoder, check_channels
from streamer.audio.resample import StreamResampler, check_rate, resampled_length
from streamer.errors import AudioNotFinite, ConfigurationError

#: The mean of all channels (see `streamer.audio.downmix`), or the index of one.
Channel = Literal["downmix"] | int

AnyBlock = bytes | bytearray | memoryview | NDArray[Any]


class Conditioner:
    """The input side of one stream.

    rate: of the input, Hz. channels: of the input. channel: which of them is meant; for one stream per channel take a
        conditioner for each index. encoding: of bytes (see `formats`); not needed where only arrays are pushed.
    name: what messages call the stream. patient: see `Downmix`.

    Positions are computed from the count of input frames, gaps included, never accumulated: after n frames and a
    `finish` or `gap`, the clock stands at round(n * 16000 / rate).
    """

    def __init__(
        self,
        rate: int,
        *,
        channels: int = 1,
        channel: Channel = "downmix",
        encoding: Encoding | None = None,
        name: str = "audio stream",
        patient: bool = False,
    ) -> None:
        self.rate = check_rate(rate)
        self.channels = check_channels(channels)
        self.channel = check_channel(channel, self.channels)
        self.name = name
        #: The clock, in samples at 16 kHz: where the next event begins.
        self.position = 0
        self._decoder = None if encoding is None else PcmDecoder(encoding, self.channels)
        self._resampler = StreamResampler(self.rate)
        self._mix: Downmix | None = None
        if self.channel == "downmix" and self.channels > 1:
            self._mix = Downmix(self.rate, self.channels, patient=patient)
        self._told = False
        self._frames = 0

    def notice(self) -> str | None:
        """That channels cancel each other, so that only one is used, once: as soon as it is found."""
        found = None if self._mix is None else self._mix.found
        if found is None or self._told:
            return None
        self._told = True
        return found.message(self.channels)

    def push(self, data: AnyBlock) -> list[AudioEvent]:
        """Bytes, cut anywhere, or an array (n,) or (channels, n), floating point or integer PCM.

        Raises AudioNotFinite with the position in the input, and ConfigurationError for data of another shape.
        """
        block = self._decoded(data) if isinstance(data, bytes | bytearray | memoryview) else self._shaped(data)
        if block.shape[1] == 0:
            return []
        try:
            checked(Audio(block, self.rate, self.name), self._frames)
        finally:
            self._frames += block.shape[1]
        return self._chunk(self._resampler.push(self._mono(block)))

    def gap(self, num_frames: int, reason: str) -> list[AudioEvent]:
        """`num_frames` frames of the input are missing here, and with them a frame of which only a part had come."""
        events = self._end_of_run()
        self._frames += num_frames + self._lost_frame()
        return events + self._gap_to_clock(reason)

    def finish(self) -> list[AudioEvent]:
        """What was held back. A frame of which only a part had come is a gap "partial sample"."""
        events = self._end_of_run()
        self._frames += self._lost_frame()
        return events + self._gap_to_clock("partial sample")

    def _decoded(self, data: bytes | bytearray | memoryview) -> NDArray[np.float32]:
        if self._decoder is None:
            raise ConfigurationError(f"bytes do not say their encoding: give encoding=, one of {', '.join(ENCODINGS)}.")
        return self._decoder.decode(data)

    def _shaped(self, data: NDArray[Any]) -> NDArray[np.float32]:
        block = full_scale(np.asarray(data), self.name)
        block = block[None] if block.ndim == 1 else block
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ConfigurationError(
                f"{self.name!r}: samples of shape {data.shape} do not fit {self.channels} channel(s); "
                f"use ({self.channels}, n)."
            )
        return block

    def _mono(self, block: NDArray[np.float32]) -> Samples:
        """A copy, so that the caller may use the array again."""
        if self._mix is None:
            chosen: Samples = block[0 if self.channel == "downmix" else self.channel].copy()
            return chosen
        with np.errstate(over="ignore"):
            if not np.isfinite(block.sum(axis=0, dtype=np.float32)).all():
                self._refuse()
        return self._mix.push(block.copy())

    def _lost_frame(self) -> int:
        return int(self._decoder is not None and self._decoder.flush() > 0)

    def _end_of_run(self) -> list[AudioEvent]:
        """The tail of the samples before a gap or the end, to the exact sample.

        Rounding the length of a run and rounding its two ends differ by up to one sample: cut it or repeat the last.
        """
        held = np.zeros(0, np.float32) if self._mix is None else self._resampler.push(self._mix.flush())
        tail = np.concatenate([held, self._resampler.finish()])
        self._resampler = StreamResampler(self.rate)
        wanted = max(0, resampled_length(self._frames, self.rate) - self.position)
        missing = wanted - len(tail)
        if missing > 0:
            tail = np.concatenate([tail, np.full(missing, tail[-1] if len(tail) else 0.0, np.float32)])
        return self._chunk(tail[:wanted])

    def _chunk(self, samples: Samples) -> list[AudioEvent]:
        if len(samples) == 0:
            return []
        if not np.isfinite(samples).all():  # finite, but so large that mixing or filtering overflows
            self._refuse()
        chunk = Chunk(self.position, samples)
        self.position = chunk.end_sample
        return [chunk]

    def _refuse(self) -> NoReturn:
        raise AudioNotFinite(
            f"{self.name!r} leaves the range of float32 near {self.position / SAMPLE_RATE:.3f} s; full scale is 1."
        )

    def _gap_to_clock(self, reason: str) -> list[AudioEvent]:
        start, self.position = self.position, max(self.position, resampled_length(self._frames, self.rate))
        return [Gap(start, self.position, reason)] if self.position > start else []


def check_channel(channel: Channel, channels: int) -> Channel:
    """`channel` itself. Raises ConfigurationError unless it is "downmix" or the index of one of `channels`."""
    if channel == "downmix":
        return channel
    if isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel < channels:
        raise ConfigurationError(f'channel={channel!r}: use "downmix" or an index from 0 to {channels - 1}.')
    return channel
