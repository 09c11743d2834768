"""Decodes Opus packets with PyAV. Imported when the first client sends Opus."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.audio.opus import opus_duration
from streamer.errors import MissingDependency

RATE = 48_000


class OpusDecoder:
    """The packets of one stream, in order; a lost packet is a gap, and is not concealed.

    Raises MissingDependency if PyAV is not installed.
    """

    def __init__(self, channels: int) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingDependency(
                "Opus needs PyAV on the server: pip install 'speaker-streamer[media]', or send s16le."
            ) from error
        self._av = av
        self.channels = channels
        self.reset()

    def reset(self) -> None:
        """Clear the state after a gap: no sound from before may continue."""
        # Only one and two channels need no mapping table, and phones and browsers send nothing else.
        header = b"OpusHead" + struct.pack("<BBHIhB", 1, self.channels, 0, RATE, 0, 0)
        self._codec: Any = self._av.CodecContext.create("libopus", "r")
        self._codec.extradata = header

    def decode(self, packet: bytes) -> NDArray[np.float32]:
        """(channels, n) float32 at 48 kHz, with the packet's n. Raises ValueError for a damaged packet."""
        wanted = opus_duration(packet)
        try:
            frames = [frame.to_ndarray() for frame in self._codec.decode(self._av.Packet(packet))]
        except self._av.FFmpegError as error:
            raise ValueError(f"a damaged Opus packet ({error})") from error
        block = np.zeros((self.channels, wanted), np.float32)
        if not frames:
            return block
        # libopus gives interleaved samples, s16 or float.
        flat = np.concatenate([frame.reshape(-1) for frame in frames])
        scale = np.float32(1 / 32768) if flat.dtype == np.int16 else np.float32(1)
        decoded = flat.reshape(-1, self.channels).T.astype(np.float32) * scale
        length = min(wanted, decoded.shape[1])
        block[:, :length] = decoded[:, :length]
        return block
