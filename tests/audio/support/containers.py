"""Audio files as bytes: of any format, with headers that are wrong, and with time stamps that jump."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as RATE

SECONDS = 3.0


def sweep(rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """(samples,) float32 whose sound is another at each moment."""
    times = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * (200 + 50 * times) * times)).astype(np.float32)


def encoded(kind: str, subtype: str | None = None, samples: np.ndarray | None = None, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sweep() if samples is None else samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def wav(announced: int, tail: bytes = b"") -> bytes:
    """A WAV of the sweep, 16 bit, whose header says `announced` bytes, and what follows the audio."""
    content = (sweep() * 32767).astype("<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    head = b"RIFF" + struct.pack("<I", (announced + 36) & 0xFFFF_FFFF) + b"WAVEfmt " + form
    return head + b"data" + struct.pack("<I", announced) + content + tail


def patched(content: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """The bytes with others in the place of those `offset` after where `name` first stands."""
    place = content.index(name) + offset
    return content[:place] + value + content[place + len(value) :]


def stamped(kind: str, codec: str, stamp: Callable[[int], int], seconds: float = 4.0, rate: int = 48_000) -> bytes:
    """A container of a tone, in which the block that begins at sample k has the stamp `stamp(k)`, in samples."""
    file, size = io.BytesIO(), 960 if codec == "libopus" else 1024
    tone = (0.3 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        convert = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate)
        for start in range(0, len(tone) - size, size):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + size], format="fltp", layout="mono")
            frame.sample_rate = rate
            for part in convert.resample(frame):
                part.pts, part.time_base = stamp(start), Fraction(1, rate)
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()
