"""Converts a session's audio for the engine's streams: decoded, one stream for each channel or one for all, 16 kHz."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np

from streamer.audio.chunks import AudioEvent
from streamer.audio.condition import Channel, Conditioner
from streamer.audio.formats import Encoding
from streamer.errors import MissingDependency
from streamer.protocol import Refusal, Settings
from streamer.server.opus import OpusDecoder

MAX_OPUS_CHANNELS = 2
# Full scale is 1, and some sources exceed it; a thousand times more is not audio.
LOUDEST = 1_000.0


class Intake:
    """The input side of one session. Its input is complete and in order: `Framing` ensures that.

    Each method returns the events for each stream: contiguous chunks and gaps at 16 kHz.
    Raises Refusal("unsupported") for Opus that can't be decoded here.
    """

    def __init__(self, settings: Settings) -> None:
        self._opus: OpusDecoder | None = None
        encoding: Encoding | None = None
        if settings.encoding == "opus":
            self._opus = _opus_decoder(settings.channels)
        else:
            encoding = cast(Encoding, settings.encoding)
        split = settings.channel_mode == "split"
        channels: Iterable[Channel] = range(settings.channels) if split else ["downmix"]
        self._conditioners = [
            Conditioner(settings.sample_rate, channels=settings.channels, channel=channel, encoding=encoding)
            for channel in channels
        ]
        self._float = encoding == "f32le"

    def audio(self, data: bytes, num_samples: int) -> list[list[AudioEvent]]:
        """Raises Refusal("bad_audio") if the data is not valid audio; its time then counts as a gap."""
        if self._opus is not None:
            try:
                block = self._opus.decode(data)
            except ValueError as error:
                raise Refusal("bad_audio", f"{str(error)[:200]}.", "The packet counts as a gap.") from None
            return [conditioner.push(block) for conditioner in self._conditioners]
        # Checked here and not by each conditioner, so that either all channels take the data or none; and with a limit
        # that keeps every resampler's sum finite.
        if self._float and not np.abs(np.frombuffer(data, "<f4")).max(initial=0.0) <= LOUDEST:
            message = f"The audio holds NaN, or samples beyond {LOUDEST:g} times full scale."
            raise Refusal("bad_audio", message, "The message counts as a gap.")
        return [conditioner.push(data) for conditioner in self._conditioners]

    def notices(self) -> list[tuple[int, int, str]]:
        """New notices about the sound: the stream, the position, and the text."""
        found = [(number, one.position, one.notice()) for number, one in enumerate(self._conditioners)]
        return [(number, sample, message) for number, sample, message in found if message is not None]

    def gap(self, num_samples: int, reason: str) -> list[list[AudioEvent]]:
        """`num_samples` samples of every channel, at the client's rate, are missing."""
        if self._opus is not None:
            self._opus.reset()
        return [conditioner.gap(num_samples, reason) for conditioner in self._conditioners]

    def finish(self) -> list[list[AudioEvent]]:
        """The samples that the resamplers held back."""
        return [conditioner.finish() for conditioner in self._conditioners]


def _opus_decoder(channels: int) -> OpusDecoder:
    if channels > MAX_OPUS_CHANNELS:
        raise Refusal(
            "unsupported",
            f"Opus with {channels} channels is not taken; up to {MAX_OPUS_CHANNELS} are.",
            "Send one stream for each pair, or PCM.",
            fatal=True,
        )
    try:
        return OpusDecoder(channels)
    except MissingDependency as error:
        raise Refusal("unsupported", str(error), "Send s16le.", fatal=True) from None
