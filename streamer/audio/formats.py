"""Raw PCM: bytes to samples and back, for bytes cut anywhere.

The laws are those of ITU-T G.711 (https://www.itu.int/rec/T-REC-G.711), as tables of their 256 codes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from streamer.errors import UnsupportedFormat

Encoding = Literal["s16le", "s24le", "s32le", "f32le", "mulaw", "alaw"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

BYTES_PER_SAMPLE: dict[Encoding, int] = {"s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "mulaw": 1, "alaw": 1}

MAX_CHANNELS = 64

Planar = NDArray[np.float32]
_Bytes = NDArray[np.uint8]


def check_encoding(encoding: str) -> Encoding:
    """`encoding` itself. Raises UnsupportedFormat, which lists the known encodings, for any other."""
    for known in ENCODINGS:
        if encoding == known:
            return known
    raise UnsupportedFormat(f"encoding {encoding!r} is not known; use one of {', '.join(ENCODINGS)}.")


def check_channels(channels: int) -> int:
    """`channels` itself. Raises UnsupportedFormat unless it is 1 to 64."""
    if isinstance(channels, bool) or not isinstance(channels, int | np.integer) or not 1 <= channels <= MAX_CHANNELS:
        raise UnsupportedFormat(f"{channels!r} channels cannot be used; give a whole number, 1 to {MAX_CHANNELS}.")
    return int(channels)


class PcmDecoder:
    """Decodes interleaved PCM that arrives in chunks: bytes after the last whole frame of a chunk wait for the next.

    encoding: one of `ENCODINGS`. channels: samples in a frame.

    >>> decoder = PcmDecoder("s16le", channels=1)
    >>> decoder.decode(bytes([0, 64, 0])), decoder.decode(bytes([192]))
    (array([[0.5]], dtype=float32), array([[-0.5]], dtype=float32))
    """

    def __init__(self, encoding: Encoding, channels: int = 1) -> None:
        self.encoding = check_encoding(encoding)
        self.channels = check_channels(channels)
        self.bytes_per_frame = BYTES_PER_SAMPLE[self.encoding] * self.channels
        self._rest = b""

    def decode(self, data: bytes | bytearray | memoryview) -> Planar:
        """The frames that are complete now: (channels, n) float32, full scale at 1."""
        joined = self._rest + bytes(data)
        whole = len(joined) - len(joined) % self.bytes_per_frame
        self._rest = joined[whole:]
        samples = decode_pcm(joined[:whole], self.encoding)
        return np.ascontiguousarray(samples.reshape(-1, self.channels).T)

    def flush(self) -> int:
        """Discard the bytes of an incomplete frame; returns their number (0: nothing was lost)."""
        lost, self._rest = len(self._rest), b""
        return lost


def decode_pcm(data: bytes, encoding: Encoding) -> Planar:
    """Whole samples, in order: (n,) float32, full scale at 1."""
    match encoding:
        case "s16le":
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(1 << 15)
        case "s24le":
            wide = np.zeros((len(data) // 3, 4), np.uint8)  # the upper three bytes of 32 bits, which keeps the sign
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(1 << 31)
        case "s32le":
            return np.frombuffer(data, "<i4").astype(np.float32) / np.float32(1 << 31)
        case "f32le":
            return np.frombuffer(data, "<f4").astype(np.float32)
        case "mulaw" | "alaw":
            return _law(encoding)[np.frombuffer(data, np.uint8)]


def encode_pcm(samples: NDArray[Any], encoding: Encoding) -> bytes:
    """Interleaved PCM of (n,) or (channels, n) samples, full scale at 1: rounded to nearest, clipped at full scale."""
    interleaved = np.asarray(samples, np.float64).T.ravel()
    match check_encoding(encoding):
        case "s16le":
            return _quantised(interleaved, 15).astype("<i2").tobytes()
        case "s24le":
            wide = (_quantised(interleaved, 23) << 8).astype("<i4").view(np.uint8).reshape(-1, 4)
            return wide[:, 1:].tobytes()
        case "s32le":
            return _quantised(interleaved, 31).astype("<i4").tobytes()
        case "f32le":
            return interleaved.astype("<f4").tobytes()
        case "mulaw" | "alaw":
            levels = _law(encoding)
            order = np.argsort(levels, kind="stable")
            halfway = (levels[order][1:] + levels[order][:-1]) / 2
            return order[np.searchsorted(halfway, interleaved)].astype(np.uint8).tobytes()


def _quantised(samples: NDArray[np.float64], bits: int) -> NDArray[np.int64]:
    scale = 1 << bits
    return np.clip(np.rint(samples * scale), -scale, scale - 1).astype(np.int64)


@cache
def _law(encoding: Literal["mulaw", "alaw"]) -> Planar:
    """The sample for each code, (256,) float32."""
    codes = np.arange(256)
    # Both laws invert bits for transmission: mu-law all of them, A-law every other one.
    bits = codes ^ (0xFF if encoding == "mulaw" else 0x55)
    exponent, mantissa = (bits >> 4) & 7, bits & 15
    if encoding == "mulaw":
        magnitude = (((mantissa << 3) + 132) << exponent) - 132
        negative = (bits & 0x80) != 0
    else:
        steps = np.where(exponent == 0, 2 * mantissa + 1, 2 * mantissa + 33)
        magnitude = (steps << 3) << np.maximum(exponent - 1, 0)
        negative = (bits & 0x80) == 0
    table: Planar = (np.where(negative, -magnitude, magnitude) / (1 << 15)).astype(np.float32)
    table.setflags(write=False)
    return table
