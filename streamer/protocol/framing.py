"""Turns binary frames into a gapless stream: finds new bytes, repeated bytes, and missing samples.

A frame is PCM of any length, or (framing `sequenced`) the 12-byte header, little endian: the frame's sequence number,
uint32, one more than that of the previous frame and wrapping at 2**32, and the position of its first sample, uint64,
counted per channel at the client's rate from the session's start. Opus packets are counted by their table of contents
(RFC 6716, section 3.1), so that no decoder is needed to know the time.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from streamer.audio.chunks import SAMPLE_RATE, InputGap
from streamer.audio.opus import opus_duration
from streamer.protocol import Refusal, Settings

HEADER = struct.Struct("<IQ")
BYTES_PER_SAMPLE = {"s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "mulaw": 1, "alaw": 1}

# A client that was away longer than this should start anew: its speakers and people have changed.
MAX_GAP_S = 3600

# A server that continues a session has a new decoder and a new resampler. Audio before the required sound lets them
# settle, and is not used. Opus packets begin at multiples of their length, which divides 120 ms.
SETTLE_S = 0.05
OPUS_GRID_S = 0.12

_WRAP = 2**32


@dataclass(frozen=True, slots=True)
class Payload:
    """Whole samples of every channel (one packet of Opus), directly after the previous ones."""

    data: bytes
    num_samples: int


class Framing:
    """The clock of one session's audio, at the client's rate. Pure: frames in, payloads and gaps out."""

    def __init__(self, settings: Settings) -> None:
        self.encoding = settings.encoding
        self.sequenced = settings.framing == "sequenced"
        self.rate = settings.sample_rate
        self.width = BYTES_PER_SAMPLE.get(settings.encoding, 0) * settings.channels
        self.position = 0
        self.duplicates = 0
        self._expected: int | None = None
        self._rest = b""

    def receive(self, frame: bytes) -> list[Payload | InputGap]:
        """The new data in a binary frame.

        Raises Refusal: bad_audio (no header, part of a sample, no Opus packet) or gap_too_long. The state is then
        unchanged.
        """
        if not self.sequenced:
            return self._plain(frame)
        if len(frame) < HEADER.size:
            raise Refusal(
                "bad_audio",
                f"A sequenced binary message has {len(frame)} bytes; its header alone takes {HEADER.size}.",
                "Put the header in front of every frame, or start with framing plain.",
            )
        sequence, position = HEADER.unpack_from(frame)
        payload = frame[HEADER.size :]
        num_samples = self._count(payload)

        ahead = 0 if self._expected is None else (sequence - self._expected) % _WRAP
        # More than half the range ahead is behind: the frame came before, or comes after its gap was reported.
        late = ahead >= _WRAP // 2
        # A packet cannot be cut, so one that begins too early is dropped as a whole.
        last = position if self.encoding == "opus" else position + num_samples - 1
        if late or (payload and last < self.position):
            self.duplicates += 1
            return []
        out = self._gap_before(position, "packet loss" if ahead else "skipped by the client")
        self._expected = (sequence + 1) % _WRAP
        if position < self.position:
            payload = payload[(self.position - position) * self.width :]
        return out + self._take(payload)

    def rejoin(self, earliest: int | None, away_s: float) -> list[InputGap]:
        """After a lost connection: the gap before the audio that the client can still send, or the time it was
        away."""
        self._rest = b""
        self._expected = None
        if earliest is None:
            earliest = self.position + round(away_s * self.rate)
        return self._gap_before(earliest, "reconnect")

    def rewind(self, heard_sample: int) -> int:
        """Go back to the position of the streams: to sample `heard_sample` at 16 kHz, or somewhat earlier.

        Returns the sample, at 16 kHz, from which audio continues: exactly that of `position`.
        """
        # At these samples both clocks coincide.
        grid = SAMPLE_RATE // math.gcd(SAMPLE_RATE, self.rate)
        settle = 0
        if self.encoding == "opus":
            grid = round(OPUS_GRID_S * SAMPLE_RATE)
            settle = grid
        elif grid > 1 or self.rate != SAMPLE_RATE:
            settle = -(-round(SETTLE_S * SAMPLE_RATE) // grid) * grid
        sample = max(0, heard_sample // grid * grid - settle)
        self.position = sample * self.rate // SAMPLE_RATE
        return sample

    def snapshot(self) -> dict[str, Any]:
        return {"position": self.position, "duplicates": self.duplicates}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.position = int(snapshot["position"])
        self.duplicates = int(snapshot["duplicates"])

    def _plain(self, frame: bytes) -> list[Payload | InputGap]:
        if self.encoding == "opus":
            self._count(frame)
            return self._take(frame)
        data = self._rest + frame if self._rest else frame
        whole = len(data) - len(data) % self.width
        # Any cut is allowed, even within a sample: the rest waits for the next frame.
        self._rest = bytes(data[whole:])
        return self._take(data[:whole])

    def _count(self, payload: bytes) -> int:
        if self.encoding == "opus":
            try:
                return opus_duration(payload)
            except ValueError as error:
                raise Refusal("bad_audio", f"Not an Opus packet: {error}.", "Send one packet a message.") from None
        if len(payload) % self.width:
            raise Refusal(
                "bad_audio",
                f"A sequenced frame has {len(payload)} bytes of audio, not a multiple of {self.width} "
                "(one sample of every channel).",
                "Send whole samples, or start with framing plain.",
            )
        return len(payload) // self.width

    def _gap_before(self, position: int, reason: str) -> list[Any]:
        missing = position - self.position
        if missing <= 0:
            return []
        if missing > MAX_GAP_S * self.rate:
            raise Refusal(
                "gap_too_long",
                f"Sample {position} is {missing / self.rate:.0f} s after the last one; {MAX_GAP_S} s are the limit.",
                "Start a new session.",
                fatal=True,
            )
        self.position = position
        return [InputGap(missing, reason)]

    def _take(self, payload: bytes) -> list[Payload | InputGap]:
        if not payload:
            return []
        num_samples = opus_duration(payload) if self.encoding == "opus" else len(payload) // self.width
        self.position += num_samples
        return [Payload(payload, num_samples)]
